import Broker
import HTTPTypes
import Logging

/// What an exchange has to pass before it is looked at: the limit of its client's address, and a place among those that
/// are under way.
struct ExchangeLimits: Sendable {
    private let proxies: TrustedProxies
    private let rate: AddressRate
    private let places: FairPlaces
    private let clock: any BrokerClock
    let refusals: LimitRefusals

    init(_ server: ServerConfiguration, clock: any BrokerClock, refusals: LimitRefusals) {
        proxies = TrustedProxies(server.trustedProxies)
        rate = AddressRate(perSecond: server.limits.exchangesPerSecondPerAddress)
        places = FairPlaces(server.limits.exchangesUnderWay)
        self.clock = clock
        self.refusals = refusals
    }

    func client(of peer: ClientAddress, _ headers: HTTPFields) -> ClientAddress {
        proxies.client(of: peer, headers)
    }

    /// Before the body is read: what will be refused is not waited for.
    func admit(_ client: ClientAddress) throws(OAuthError) {
        // First, since it counts nothing: who is told to come back later has not used up anything.
        guard places.hasPlace(for: client) else { throw overloaded(client) }
        guard rate.admits(client.holder, at: clock.uptime) else {
            refusals.note(.addressRate, client)
            throw .tooManyExchanges
        }
    }

    /// Runs `work` in a place of its own. A body that is still to come holds none: it could come slowly on purpose.
    func underWay<Value>(
        _ client: ClientAddress, _ work: () async throws(OAuthError) -> Value
    ) async throws(OAuthError) -> Value {
        guard places.take(for: client) else { throw overloaded(client) }
        defer { places.giveBack(of: client) }
        return try await work()
    }

    private func overloaded(_ client: ClientAddress) -> OAuthError {
        refusals.note(.overload, client)
        return .overloaded
    }
}
