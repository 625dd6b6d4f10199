import Broker
import HTTPTypes
import Logging

/// What an exchange has to pass before it is looked at: the time that the event loop has for it, the limit of its client's
/// address, and a place among those that are under way.
///
/// Places bound what waits for something slow, the store or an issuer's keys; what waits for the processor the event loop's
/// own delay bounds (`LoopLoad`). Revoking has places of its own, and is never refused for lack of time. So has what waits
/// for the company's identity provider: one that takes its time takes none of an exchange's.
struct ExchangeLimits: Sendable {
    enum Work: Sendable {
        case exchange, revocation
        /// A sign-in, a refresh or a logout.
        case provider
    }

    /// Of those that wait for the identity provider; an address has a quarter of them.
    private static let providerPlaces = 256

    private let proxies: TrustedProxies
    private let rate: AddressRate
    private let exchanges: FairPlaces
    private let revocations: FairPlaces
    private let signIns: FairPlaces
    private let clock: any BrokerClock
    let refusals: LimitRefusals
    let states: EventLoopStates

    init(
        _ server: ServerConfiguration, clock: any BrokerClock, refusals: LimitRefusals,
        loopBounds: LoopBounds = LoopBounds()
    ) {
        proxies = TrustedProxies(server.trustedProxies)
        rate = AddressRate(perSecond: server.limits.exchangesPerSecondPerAddress)
        exchanges = FairPlaces(server.limits.exchangesUnderWay)
        revocations = FairPlaces(server.limits.exchangesUnderWay)
        signIns = FairPlaces(min(Self.providerPlaces, server.limits.exchangesUnderWay))
        self.clock = clock
        self.refusals = refusals
        states = EventLoopStates(clock: clock, bounds: loopBounds)
    }

    func client(of peer: ClientAddress, _ headers: HTTPFields) -> ClientAddress {
        proxies.client(of: peer, headers)
    }

    /// Before the body is read: what will be refused is not waited for.
    func admit(_ work: Work, _ context: BrokerRequestContext) throws(OAuthError) {
        let client = context.client
        // First, since it counts nothing: who is told to come back later has not used up anything.
        guard places(for: work).hasPlace(for: client), hasTime(for: work, context) else {
            throw overloaded(client, context.trace)
        }
        guard rate.admits(client.holder, at: clock.uptime) else {
            refusals.note(.addressRate, client, context.trace, .tooManyExchanges)
            throw .tooManyExchanges
        }
    }

    /// Runs `body` in a place of its own. A body that is still to come holds none: it could come slowly on purpose. Many
    /// could also end at once, hence the time is asked for again.
    func underWay<Value>(
        _ work: Work, _ context: BrokerRequestContext, _ body: () async throws(OAuthError) -> Value
    ) async throws(OAuthError) -> Value {
        let (client, places) = (context.client, places(for: work))
        guard hasTime(for: work, context), places.take(for: client) else { throw overloaded(client, context.trace) }
        defer { places.giveBack(of: client) }
        return try await body()
    }

    /// Counts it.
    func overloaded(_ client: ClientAddress, _ trace: TraceID) -> OAuthError {
        refusals.note(.overload, client, trace, .overloaded)
        return .overloaded
    }

    private func places(for work: Work) -> FairPlaces {
        switch work {
        case .exchange: exchanges
        case .revocation: revocations
        case .provider: signIns
        }
    }

    private func hasTime(for work: Work, _ context: BrokerRequestContext) -> Bool {
        work == .revocation || states.haveTime(on: context.eventLoop)
    }
}
