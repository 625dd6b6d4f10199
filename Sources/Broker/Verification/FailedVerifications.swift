/// Whom a failed verification counts for: an address, and the network that it is in.
package struct FailureHolder: Sendable {
    let address: AddressGroup
    let network: AddressGroup

    package init(address: AddressGroup, network: AddressGroup) {
        self.address = address
        self.network = network
    }
}

/// How many signatures that do not fit are checked for one client address. Who has shown too many gets none of his further
/// tokens checked for a moment; tokens that are known are let pass meanwhile, his too.
///
/// It holds back checks alone, which cost fifty times what everything else does, and never a known token. Counted are
/// signatures that did not fit, and tokens that had expired and are not remembered: both can be shown for nothing.
///
/// A gateway that asks for many clients is one address, unless it is one of `server.public.trusted_proxies` and says for
/// whom it asks: then each of these is counted, and the gateway itself never is. Of a gateway that is not listed, a client who
/// floods it with garbage holds up the tokens of others that the broker has not seen yet, and no others. Hence the limit is
/// far above what honest clients cause together: 200 checks a second take 1.5 % of a processor.
///
/// All addresses of one network together have eight times as much: whoever has a /48 of IPv6 has 65,536 addresses.
///
/// Callable from any thread. 16,384 addresses and as many networks, 512 KiB each.
package final class FailedVerifications: Sendable {
    /// Of `perSecond`.
    package static let rates = 1...100_000
    /// An address that has been quiet may have as many at once as it gets in so many seconds.
    package static let burst = 5
    /// As many addresses' worth a network has.
    static let networkFactor = 8

    private let addresses: AddressRate
    private let networks: AddressRate
    private let clock: any BrokerClock

    package init(perSecond: Int, clock: any BrokerClock) {
        addresses = AddressRate(perSecond: perSecond, burst: Self.burst, sets: 2048)
        networks = AddressRate(perSecond: perSecond * Self.networkFactor, burst: Self.burst, sets: 2048)
        self.clock = clock
    }

    /// Whether a signature may be checked for it.
    func admits(_ client: FailureHolder) -> Bool {
        let now = clock.uptime
        return addresses.hasRoom(for: client.address, at: now) && networks.hasRoom(for: client.network, at: now)
    }

    /// That one was checked for nothing.
    func note(_ client: FailureHolder) {
        let now = clock.uptime
        addresses.note(client.address, at: now)
        networks.note(client.network, at: now)
    }
}
