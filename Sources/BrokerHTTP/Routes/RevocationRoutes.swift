import Broker
import HTTPTypes
import Hummingbird
import JOSE

/// `POST /oauth/revoke` (RFC 7009) and `POST /oauth/introspect` (RFC 7662).
struct RevocationRoutes: Sendable {
    static let revocationPath = "/oauth/revoke"
    static let introspectionPath = "/oauth/introspect"

    let token: TokenRoute
    let revocation: TokenRevocation
    let introspection: TokenIntrospection
    let access: RouteAccess
    /// Nil where nobody signs in at this broker.
    let signIn: (@Sendable () -> SignIn)?

    /// Clients are public: the token is all that proves whose it is (RFC 7009 §2.1). What is no token of ours is answered as
    /// if it had been revoked (§2.2), and leaves nothing behind.
    func revoke(_ request: Request, _ context: BrokerRequestContext) async throws -> Response {
        let trace = context.trace
        do throws(OAuthError) {
            let secret = try await tokenParameter(request, context)
            let certificate = token.certificates.certificate(of: context, request.headers)
            let outcome = try await token.limits.underWay(.revocation, context) {
                () async throws(OAuthError) -> RevocationOutcome? in
                do {
                    // A refresh token and a gateway token do not look alike: only one of the two knows it.
                    if let ended = try await signIn?().revoke(secret, under: trace) { return ended }
                    return try await revocation.revoke(secret, presenting: certificate, trace: trace)
                } catch {
                    throw OAuthError(.temporarilyUnavailable, "no more can be revoked at the moment; try again")
                }
            }
            return Self.answer(outcome)
        } catch {
            return error.response(trace: trace)
        }
    }

    /// 503 where it is in force and would be lost with this process.
    static func answer(_ outcome: RevocationOutcome?) -> Response {
        var response: Response
        if outcome?.isDurable ?? true {
            response = Response(status: .ok)
        } else {
            response = .json(.serviceUnavailable, ["applied": true, "durable": false])
            response.headers[.retryAfter] = "1"
        }
        response.headers[.cacheControl] = "no-store"
        return response
    }

    func introspect(_ request: Request, _ context: BrokerRequestContext) async throws -> Response {
        if let refusal = access.refusal(of: request, context, scope: .introspect) { return refusal }
        do throws(OAuthError) {
            let secret = try await tokenParameter(request, context, isAuthorized: true)
            var response = Response.json(.ok, introspection.answer(about: secret))
            response.headers[.cacheControl] = "no-store"
            return response
        } catch {
            return error.response(trace: context.trace)
        }
    }

    /// The parameter `token`. A `token_type_hint` may be wrong and is not needed.
    private func tokenParameter(
        _ request: Request, _ context: BrokerRequestContext, isAuthorized: Bool = false
    ) async throws(OAuthError) -> SecretText {
        let body = try await token.body(
            of: request, type: "application/x-www-form-urlencoded", for: .revocation, isAuthorized: isAuthorized,
            context)
        let form: FormBody
        do {
            form = try FormBody(parsing: body)
        } catch {
            throw OAuthError(.invalidRequest, error.description)
        }
        guard let token = form["token"] else { throw OAuthError(.invalidRequest, "the parameter token is missing") }
        return SecretText(token.string)
    }
}

/// Who may call the routes that are for gateways and administrators.
struct RouteAccess: Sendable {
    let access: BrokerAccess
    let certificates: PresentedCertificates

    enum Admission {
        /// The subject.
        case admitted(ExactString)
        /// What to answer.
        case refused(Response)
    }

    func admission(of request: Request, _ context: BrokerRequestContext, scope: Scope) -> Admission {
        guard let credential = credential(of: request, context) else {
            return .refused(Self.answer(.unauthorized, "Bearer", nil))
        }
        switch outcome(for: credential, request, context, scope: scope) {
        case .granted(let subject): return .admitted(subject)
        case .refused: return .refused(Self.answer(.unauthorized, #"Bearer error="invalid_token""#, "invalid_token"))
        case .insufficientScope:
            return .refused(
                Self.answer(
                    .forbidden, "Bearer error=\"insufficient_scope\", scope=\"\(scope)\"", "insufficient_scope"))
        }
    }

    /// The answer to whoever may not; nil to whoever may.
    func refusal(of request: Request, _ context: BrokerRequestContext, scope: Scope) -> Response? {
        guard case .refused(let response) = admission(of: request, context, scope: scope) else { return nil }
        return response
    }

    /// Whether the same still holds.
    func holds(for request: Request, _ context: BrokerRequestContext, scope: Scope) -> Bool {
        guard case .admitted = admission(of: request, context, scope: scope) else { return false }
        return true
    }

    private func outcome(
        for credential: BrokerAccess.Credential, _ request: Request, _ context: BrokerRequestContext, scope: Scope
    ) -> BrokerAccess.Outcome {
        access.outcome(
            for: credential, presenting: certificates.certificate(of: context, request.headers), scope: scope)
    }

    /// A token, or without any the certificate of the connection itself, which no proxy forwards.
    private func credential(of request: Request, _ context: BrokerRequestContext) -> BrokerAccess.Credential? {
        if request.headers.contains(.authorization) {
            return VerifyRoute.token(request.headers).map { .token($0) } ?? .token(SecretText(""))
        }
        guard case .connection(let peer) = certificates.certificate(of: context, request.headers) else { return nil }
        return .certificate(peer)
    }

    private static func answer(_ status: HTTPResponse.Status, _ challenge: String, _ error: ExactString?) -> Response {
        var response = Response.json(status, error.map { ["error": .string($0)] } ?? [:])
        response.headers[.wwwAuthenticate] = challenge
        response.headers[.cacheControl] = "no-store"
        return response
    }
}
