import Broker
import HTTPTypes
import Hummingbird
import JOSE

/// `ANY /verify` and `/verify/…`: a gateway asks whether a request may pass (nginx `auth_request`, Traefik and Caddy
/// forward authentication, Envoy `ext_authz`).
struct VerifyRoute: Sendable {
    let verifier: TokenVerifier
    let certificates: PresentedCertificates
    let proxies: TrustedProxies
    let clock: any BrokerClock
    let metrics: VerifyMetrics
    let recent: RecentRefusals

    static func serves(_ path: String) -> Bool {
        path == "/verify" || path.hasPrefix("/verify/")
    }

    func respond(to request: Request, _ context: BrokerRequestContext) -> Response {
        let now = clock.now
        guard let token = Self.token(request.headers) else {
            let isMissing = !request.headers.contains(.authorization) && !request.headers.contains(.apiKey)
            let denial = Denial.token(isMissing ? .missing : .malformed)
            recent.note(
                denial, nil, token: nil, requiring: nil, trace: context.trace, client: context.client.text, at: now)
            return refused(denial)
        }
        guard let requirement = Self.requirement(request) else {
            recent.note(
                .insufficientScope, nil, token: token, requiring: nil, trace: context.trace,
                client: context.client.text, at: now)
            return refused(.insufficientScope)
        }
        let judgement = verifier.judgement(
            on: token, requiring: requirement,
            presentedBy: certificates.fingerprint(of: context, request.headers),
            from: { holder(context.peer, request.headers) },
            at: now)
        switch judgement.verdict {
        case .allow(let verified):
            metrics.allowed()
            return Self.allowed(verified)
        case .deny(let denial):
            recent.note(
                denial, judgement, token: token, requiring: requirement, trace: context.trace,
                client: context.client.text, at: now)
            return refused(denial)
        }
    }

    /// Whom failed verifications count for: the gateway, or whom it asks for where it is a trusted proxy. Never a proxy
    /// itself: others are behind it, whom it did not name.
    private func holder(_ gateway: ClientAddress, _ headers: HTTPFields) -> AddressGroup? {
        let client = proxies.client(of: gateway, headers)
        return proxies.trusts(client) ? nil : client.holder
    }

    private func refused(_ denial: Denial) -> Response {
        metrics.denied(denial)
        switch denial {
        case .token(let fault): return Self.unauthorized(fault)
        case .tooManyFailures: return Self.heldBack
        case .insufficientScope, .insufficientModel, .nothingRequired, .tooManyModels: return Self.forbidden(denial)
        }
    }

    /// The token of `Authorization: Bearer` (RFC 6750 §2.1) or `x-api-key`; Claude Code sends both, alike.
    ///
    /// Nil where there is none, where there are two, and where either header says something else: a gateway and its
    /// upstream must not be able to disagree about which credential counts.
    static func token(_ headers: HTTPFields) -> SecretText? {
        let authorization = headers[values: .authorization]
        let apiKey = headers[values: .apiKey]
        guard authorization.count <= 1, apiKey.count <= 1 else { return nil }
        var tokens: [ExactString] = []
        if let value = authorization.first {
            let scheme = value.prefix { $0 != " " }
            guard ExactString(String(scheme)).equalsIgnoringASCIICase("Bearer") else { return nil }
            tokens.append(ExactString(String(value.dropFirst(scheme.count).drop { $0 == " " })))
        }
        if let value = apiKey.first { tokens.append(ExactString(value)) }
        guard let token = tokens.first, tokens.allSatisfy({ $0 == token }), !token.isEmpty else { return nil }
        return SecretText(token.string)
    }

    /// What the gateway requires: its headers, and on exactly `/verify` the query. Below it the query is the client's.
    /// - Returns: nil when a requirement cannot be read; it is then not met.
    static func requirement(_ request: Request) -> Requirement? {
        var scopes = request.headers[values: .requireScope]
        var models = request.headers[values: .requireModel]
        if request.uri.path == "/verify", let query = request.uri.query {
            guard let form = try? FormBody(parsing: Array(query.utf8)) else { return nil }
            if let scope = form["scope"] { scopes.append(scope.string) }
            if let model = form["model"] { models.append(model.string) }
        }
        guard let required = Scope.list(parsing: elements(scopes).joined(separator: " ")) else { return nil }
        return Requirement(scopes: required, models: elements(models).map { ExactString($0) })
    }

    private static func elements(_ fields: [String]) -> [String] {
        fields.flatMap { $0.split { $0 == " " || $0 == "," }.map(String.init) }
    }

    private static func allowed(_ token: VerifiedToken) -> Response {
        Response(
            status: .ok,
            headers: [
                .daypassSubject: HeaderText.encode(token.subject),
                .daypassSession: HeaderText.encode(token.sessionID),
                .daypassRule: HeaderText.encode(token.rule),
                .daypassScope: Scope.text(token.scope).string,
                .daypassExpires: String(Int64(token.expiry)),
                .cacheControl: "no-store",
            ])
    }

    /// 401 for whatever is wrong with the token itself: agents fetch a new one then, and on 403 they do not.
    private static func unauthorized(_ fault: Denial.TokenFault) -> Response {
        // RFC 6750 §3.1: no error code where no token was given.
        let challenge = fault == .missing ? "Bearer" : #"Bearer error="invalid_token""#
        return Response(status: .unauthorized, headers: [.wwwAuthenticate: challenge, .cacheControl: "no-store"])
    }

    /// The bucket has room again after a part of a second; the header counts in whole ones.
    private static var heldBack: Response {
        Response(status: .tooManyRequests, headers: [.retryAfter: "1", .cacheControl: "no-store"])
    }

    private static func forbidden(_ denial: Denial) -> Response {
        var headers: HTTPFields = [
            .wwwAuthenticate: #"Bearer error="insufficient_scope""#, .cacheControl: "no-store",
        ]
        switch denial {
        case .nothingRequired:
            headers[.daypassHint] = "the gateway has to name a scope in Daypass-Require-Scope or /verify?scope="
        case .tooManyModels:
            headers[.daypassHint] =
                "the gateway may name at most \(Requirement.maximumModels) models in Daypass-Require-Model"
        case .token, .insufficientScope, .insufficientModel, .tooManyFailures: break
        }
        return Response(status: .forbidden, headers: headers)
    }
}
