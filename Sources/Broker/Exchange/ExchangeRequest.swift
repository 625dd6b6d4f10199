package import JOSE

/// What a caller asks for, already parsed, whichever protocol it came by.
package struct ExchangeRequest: Sendable {
    /// What a caller shows to get a token.
    package enum Subject: Sendable {
        /// A proof of identity of a configured issuer.
        case proof(SecretText)
        /// A gateway token, to be renewed or narrowed.
        case gatewayToken(SecretText)
        /// The certificate of the connection.
        case certificate(PeerIdentity)
    }

    package let trace: TraceID
    /// The address that the request counts for, in its usual spelling: what trusted proxies vouch for, never what the
    /// caller says of itself. Empty where the request did not come by a network.
    package let client: ExactString
    package let subject: Subject
    /// A proof of who will act for the subject (RFC 8693 §2.1).
    package let actorToken: SecretText?
    /// Nil asks for the whole scope of the grant.
    package let scope: [Scope]?
    /// `audience` and `resource` (RFC 8693 §2.1) together.
    package let targets: [ExactString]
    /// The rule that the caller names; never with a gateway token, whose session keeps its own.
    package let rule: ExactString?
    /// What the caller says of itself in a provider's own federation call.
    package let federation: FederationIDs
    /// The certificate that the request came with, whichever the subject: tokens are bound to it, or were.
    package let certificate: PresentedCertificate?

    package init(
        trace: TraceID, client: ExactString = "", subject: Subject, actorToken: SecretText? = nil,
        scope: [Scope]? = nil, targets: [ExactString] = [], rule: ExactString? = nil,
        federation: FederationIDs = FederationIDs(), certificate: PresentedCertificate? = nil
    ) {
        self.trace = trace
        self.client = client
        self.subject = subject
        self.actorToken = actorToken
        self.scope = scope
        self.targets = targets
        self.rule = rule
        self.federation = federation
        self.certificate = certificate
    }
}

extension ExchangeRequest {
    /// So many scopes and audiences that were asked for are recorded.
    private static let maximumAsked = 16

    /// What it asks for, as it is recorded: rule, scope, audiences and federation ids; the first of them, and long ones by
    /// their digests. Nil where it leaves all of it to the rules.
    var asked: JSONObject? {
        var asked = JSONObject()
        func append(_ name: ExactString, _ texts: [ExactString]) {
            let shown = texts.prefix(Self.maximumAsked).map { KeptClaims.shortened(.string($0)) }
            _ = asked.append(name, .array(shown))
            if texts.count > shown.count {
                _ = asked.append(ExactString("omitted_\(name)"), .number(Double(texts.count - shown.count)))
            }
        }
        if let rule { _ = asked.append("rule", KeptClaims.shortened(.string(rule))) }
        if let scope { append("scope", scope.map(\.text)) }
        if !targets.isEmpty { append("audiences", targets) }
        for parameter in FederationIDs.Parameter.allCases {
            guard let id = federation[parameter] else { continue }
            _ = asked.append(ExactString(parameter.rawValue), KeptClaims.shortened(.string(id)))
        }
        return asked.members.isEmpty ? nil : asked
    }

    /// A request with a proof of identity.
    package init(
        trace: TraceID, subjectToken: SecretText, scope: [Scope]? = nil, targets: [ExactString] = [],
        rule: ExactString? = nil
    ) {
        self.init(trace: trace, subject: .proof(subjectToken), scope: scope, targets: targets, rule: rule)
    }
}

/// What the caller gets.
package struct ExchangeResponse: Sendable {
    package let accessToken: SecretText
    /// In seconds.
    package let lifetime: Int
    package let scope: [Scope]
    package let sessionID: ExactString

    init(_ token: GatewayToken, _ session: SessionRecord, _ grant: Grant) {
        accessToken = token.text
        lifetime = token.lifetime
        scope = grant.scope
        sessionID = session.id
    }
}

/// Why there is no token, as coarse as the caller may know it.
package enum ExchangeRefusal: Error, Sendable {
    /// The subject token is not acceptable, or nothing is granted to its subject: the caller is not told which.
    case subjectToken
    /// The same, and a rule that explains itself to callers was tried: these claims and ids, by their names, are what the
    /// caller's own token or request did not match it with.
    case unmatched([ExactString])
    /// Somebody signed in to the session of the presented gateway token: it is renewed by its refresh token alone.
    case signedIn
    /// The connection's certificate, by which the caller authenticated, is not acceptable any more.
    case client
    /// What is granted is bound to a certificate, and the request came with none.
    case certificate
    /// More scope than the grant has.
    case scope
    /// An audience that the grant does not have.
    case target
    /// Nothing is wrong with the request; it may work later.
    case unavailable(ExchangeOutage)
}

/// Why an exchange could not be decided or recorded, for the log and the metrics.
package struct ExchangeOutage: Sendable {
    package let reason: RefusalReason
    /// In words for the operator.
    package let cause: String
    /// Nil before a signature was found good.
    package let issuer: IssuerName?
    /// Nil before one matched.
    package let rule: ExactString?

    package init(_ reason: RefusalReason, cause: String, issuer: IssuerName? = nil, rule: ExactString? = nil) {
        self.reason = reason
        self.cause = cause
        self.issuer = issuer
        self.rule = rule
    }

    static func storing(_ failure: StoreFailure, _ event: AuditEvent) -> ExchangeOutage {
        ExchangeOutage(.store, cause: failure.description, issuer: event.issuer, rule: event.rule)
    }

    static func minting(_ failure: any Error, _ issuer: IssuerName, _ rule: ExactString) -> ExchangeOutage {
        ExchangeOutage(.mint, cause: "\(failure)", issuer: issuer, rule: rule)
    }
}

extension ExchangeRefusal {
    init(_ failure: Grant.NarrowingFailure) {
        switch failure {
        case .scope: self = .scope
        case .target: self = .target
        }
    }
}
