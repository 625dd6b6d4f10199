package import JOSE
package import SPIFFE

/// The claims of a gateway token whose signature was good, as far as verdicts and answers need them.
package struct GatewayClaims: Sendable {
    static let modelsDetailType: ExactString = "daypass_models"
    /// How many objects stand in one another at most: the claims, and all that acts.
    static let maximumDepth = 1 + ActorAuthenticator.maximumDepth

    package let subject: ExactString
    package let sessionID: ExactString
    /// The session ids from the first one to this token's own.
    package let lineage: [ExactString]
    package let audience: ExactString
    package let rule: ExactString
    package let tokenID: ExactString
    package let scope: [Scope]
    /// The certificate without which the token is good for nothing (RFC 8705 §3); nil for a plain bearer token.
    package let binding: CertificateFingerprint?
    /// Nil where the token does not speak of models.
    package let models: [Glob]?
    /// Seconds since 1970.
    package let notBefore: Double
    package let expiry: Double

    /// - Returns: nil when a claim that the mint always writes is not there as it writes it.
    init?(_ claims: JSONObject) {
        guard let subject = claims["sub"]?.string, let sessionID = claims["sid"]?.string,
            let rule = claims["rule"]?.string, let tokenID = claims["jti"]?.string,
            let scopeText = claims["scope"]?.string, let scope = Scope.list(parsing: scopeText.string),
            let notBefore = claims["nbf"]?.number, let expiry = claims["exp"]?.number,
            let audience = claims["aud"]?.string, let lineage = claims["lin"]?.array?.map(\.string),
            !lineage.contains(nil), lineage.last == sessionID
        else { return nil }
        var models: [Glob]?
        if let details = claims["authorization_details"] {
            guard let parsed = Self.models(details) else { return nil }
            models = parsed
        }
        var binding: CertificateFingerprint?
        if let confirmation = claims["cnf"] {
            guard let fingerprint = CertificateFingerprint(confirmation: confirmation) else { return nil }
            binding = fingerprint
        }
        self.binding = binding
        self.subject = subject
        self.sessionID = sessionID
        self.lineage = lineage.compactMap(\.self)
        self.audience = audience
        self.rule = rule
        self.tokenID = tokenID
        self.scope = scope
        self.models = models
        self.notBefore = notBefore
        self.expiry = expiry
    }

    /// Whether any of its scopes is one of the broker's own.
    package var isForBroker: Bool { scope.contains(where: \.isReserved) }

    /// The name of who vouches for the subject.
    var issuer: IssuerName? {
        IssuerName(of: subject)
    }

    /// Whether whoever has that certificate, or none, may use the token.
    func mayBeUsed(with certificate: CertificateFingerprint?) -> Bool {
        binding == nil || binding == certificate
    }

    private static func models(_ details: JSONValue) -> [Glob]? {
        var models: [Glob] = []
        for detail in details.array ?? [] {
            guard let detail = detail.object, detail["type"]?.string == modelsDetailType,
                let patterns = detail["models"]?.array
            else { return nil }
            for pattern in patterns {
                guard let text = pattern.string, let glob = try? Glob(parsing: text.string) else { return nil }
                models.append(glob)
            }
        }
        return models.isEmpty ? nil : models
    }
}
