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
/// Callable from any thread. 16,384 addresses, 512 KiB.
package final class FailedVerifications: Sendable {
    /// Of `perSecond`.
    package static let rates = 1...100_000
    /// An address that has been quiet may have as many at once as it gets in so many seconds.
    package static let burst = 5

    private let rate: AddressRate
    private let clock: any BrokerClock

    package init(perSecond: Int, clock: any BrokerClock) {
        rate = AddressRate(perSecond: perSecond, burst: Self.burst, sets: 2048)
        self.clock = clock
    }

    /// Whether a signature may be checked for it.
    func admits(_ client: AddressGroup) -> Bool {
        rate.hasRoom(for: client, at: clock.uptime)
    }

    /// That one was checked for nothing.
    func note(_ client: AddressGroup) {
        rate.note(client, at: clock.uptime)
    }
}
