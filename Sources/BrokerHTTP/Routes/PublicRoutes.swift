import Broker
import FoundationEssentials
import HTTPTypes
import Hummingbird
import HummingbirdCore
import JOSE
import NIOCore

/// Everything that the public listener answers. Every response carries the request's trace id.
struct PublicRoutes: HTTPResponder {
    typealias Context = BrokerRequestContext

    let token: TokenRoute
    let federation: FederationRoute
    let keys: KeyRoutes
    let verify: VerifyRoute
    let revocation: RevocationRoutes
    let feed: RevocationFeed
    /// Nil where nobody signs in at this broker.
    let signIn: SignInRoutes?
    /// The same.
    var pages: SignInPages?

    func respond(to request: Request, context: BrokerRequestContext) async throws -> Response {
        // As of now: whoever is told so is refused in the same answer.
        let hasExpired = token.certificates.isExpired(context)
        var response = try await route(request, context)
        response.headers[.daypassTraceID] = context.trace.description
        // It may have expired meanwhile, and be the reason for a refusal.
        if hasExpired || (response.status.kind == .clientError && token.certificates.isExpired(context)) {
            response.headers[.connection] = "close"
        }
        if request.uri.path == FederationRoute.path { response.headers[.requestID] = context.trace.description }
        return request.method == .head ? response.createHeadResponse() : response
    }

    /// The refusal of an exchange that could not be answered in time, before its body has come; nil for all else.
    func refusal(
        _ method: HTTPRequest.Method, _ uri: URI, _ headers: HTTPFields, from peer: ConnectionPeer, trace: TraceID,
        hasRoom: () -> Bool
    ) -> ImmediateAnswer? {
        let path = uri.path
        guard method == .post, path == TokenRoute.path || path == FederationRoute.path, !hasRoom() else { return nil }
        _ = token.limits.overloaded(token.limits.client(of: peer.address, headers), trace)
        var answer = OAuthError.overloadedAnswer(trace: trace)
        if path == FederationRoute.path { answer.headers[.requestID] = trace.description }
        return answer
    }

    /// The answer to what asks for no more than is in memory; nil to all else. Without trace id.
    func immediateAnswer(
        _ method: HTTPRequest.Method, _ uri: URI, _ headers: HTTPFields, from peer: ConnectionPeer, trace: TraceID,
        hasTime: () -> Bool, at now: Date
    ) -> ImmediateAnswer? {
        let path = uri.path
        if VerifyQuestion.isAsked(at: path) {
            return verify.answer(uri, headers, from: peer, trace: trace, hasTime: hasTime, at: now)
        }
        switch (path, method) {
        case ("/oauth/jwks", .get), ("/oauth/jwks", .head): return keys.jwks(headers)
        case ("/healthz", .get), ("/healthz", .head): return Self.alive
        default: return nil
        }
    }

    private static let alive = ImmediateAnswer(
        .ok, [.contentType: "application/json"], ByteBuffer(bytes: (["status": "ok"] as JSONObject).encoded()))

    private func route(_ request: Request, _ context: BrokerRequestContext) async throws -> Response {
        let path = request.uri.path
        let immediate = immediateAnswer(
            request.method, request.uri, request.headers, from: context.connection, trace: context.trace,
            hasTime: { token.limits.states.haveTime(on: context.eventLoop) }, at: verify.endpoint.clock.now)
        if let immediate { return immediate.response }
        if let pages, SignInPages.has(path), let page = await pages.respond(to: request, withClient(request, context)) {
            return page
        }
        switch (path, request.method) {
        case (TokenRoute.path, .post):
            return try await token.respond(to: request, signIn: signIn, withClient(request, context))
        case (SignInRoutes.devicePath, _) where signIn == nil, (LogoutRoute.path, _) where signIn == nil:
            return .json(.notFound, ["error": "not_found"])
        case (SignInRoutes.devicePath, .post):
            guard let signIn else { return .json(.notFound, ["error": "not_found"]) }
            return try await signIn.authorizeDevice(request, withClient(request, context))
        case (LogoutRoute.path, .post):
            guard let signIn else { return .json(.notFound, ["error": "not_found"]) }
            return await LogoutRoute(token: token, signIn: signIn.signIn)
                .respond(to: request, withClient(request, context))
        case (FederationRoute.path, .post):
            return try await federation.respond(to: request, withClient(request, context))
        case (RevocationRoutes.revocationPath, .post):
            return try await revocation.revoke(request, withClient(request, context))
        case (RevocationRoutes.introspectionPath, .post):
            return try await revocation.introspect(request, withClient(request, context))
        case (RevocationFeed.path, .get): return await feed.respond(to: request, context)
        case (RevocationFeed.path, _): return .methodNotAllowed("GET")
        case ("/.well-known/oauth-authorization-server", .get), ("/.well-known/oauth-authorization-server", .head),
            ("/.well-known/openid-configuration", .get), ("/.well-known/openid-configuration", .head):
            return keys.metadata(request.headers).response
        case (TokenRoute.path, _), (FederationRoute.path, _), (RevocationRoutes.revocationPath, _),
            (RevocationRoutes.introspectionPath, _), (SignInRoutes.devicePath, _), (LogoutRoute.path, _):
            return .methodNotAllowed("POST")
        case ("/oauth/jwks", _), ("/.well-known/oauth-authorization-server", _),
            ("/.well-known/openid-configuration", _), ("/healthz", _):
            return .methodNotAllowed("GET, HEAD")
        default: return .json(.notFound, ["error": "not_found"])
        }
    }

    /// The routes that are limited by address need to know it.
    private func withClient(_ request: Request, _ context: BrokerRequestContext) -> BrokerRequestContext {
        var context = context
        context.client = token.limits.client(of: context.peer, request.headers)
        return context
    }
}
