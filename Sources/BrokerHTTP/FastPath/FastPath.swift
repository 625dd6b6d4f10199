import Broker
import HTTPTypes
import Hummingbird
import HummingbirdCore
import NIOCore

/// What is answered without the router, and how it is counted.
struct FastPath: Sendable {
    let routes: PublicRoutes
    let metrics: RequestMetrics
    let layers: FastPathLayers
    private var states: EventLoopStates { routes.token.limits.states }

    var endpoint: VerifyEndpoint { routes.verify.endpoint }

    /// All of the answer but what the connection's limits add; nil for what only the router answers.
    func answer(_ head: HTTPRequest, from peer: ConnectionPeer, _ state: EventLoopState) -> ImmediateAnswer? {
        let path = head.path ?? ""
        guard Self.mayBeImmediate(path) else { return nil }
        let now = endpoint.clock.now
        // Its client has to come again, on another connection.
        guard !routes.verify.certificates.isExpired(peer, at: now) else { return nil }
        let uri = HummingbirdCore.URI(path)
        let trace = TraceID(state.trace(at: now))
        let headers = head.headerFields
        let found =
            routes.refusal(head.method, uri, headers, from: peer, trace: trace) { state.load.hasRoom() }
            ?? routes.immediateAnswer(
                head.method, uri, headers, from: peer, trace: trace, hasTime: { state.load.hasTime() }, at: now)
        guard var answer = found else { return nil }
        metrics.responded(RequestMetrics.Route(path: uri.path), status: answer.status.code)
        answer.headers[.daypassTraceID] = trace.description
        answer.headers[.date] = state.date(at: now)
        return answer
    }

    /// Puts the layers into the pipeline of a connection that has all of its other handlers. On its event loop.
    /// - Parameter gate: what was put in front of the decoder before.
    func complete(_ channel: any Channel, identity: ConnectionIdentity?, gate: VerifyGate?) throws {
        let pipeline = channel.pipeline.syncOperations
        let limits = try pipeline.handler(type: ConnectionLimits.self)
        gate?.limits = limits
        guard layers.contains(.direct) else { return }
        let direct = DirectRoutes(
            self, identity: identity, client: Self.client(of: channel), state: states.state(of: channel.eventLoop))
        try pipeline.addHandler(direct, position: .after(limits))
    }

    /// The gate of a connection, which has to stand in front of the decoder; nil where there is none.
    func gate(of channel: any Channel, identity: ConnectionIdentity?) -> VerifyGate? {
        guard layers.contains(.gate) else { return nil }
        return VerifyGate(
            endpoint, metrics: metrics, identity: identity, client: Self.client(of: channel),
            state: states.state(of: channel.eventLoop))
    }

    private static func client(of channel: any Channel) -> ClientAddress {
        channel.remoteAddress.flatMap { ClientAddress($0) } ?? .unknown
    }

    /// A first look, before anything is parsed.
    private static func mayBeImmediate(_ path: String) -> Bool {
        path.hasPrefix("/verify") || path.hasPrefix("/healthz") || path.hasPrefix("/oauth/jwks")
            || path.hasPrefix(TokenRoute.path) || path.hasPrefix(FederationRoute.path)
    }
}
