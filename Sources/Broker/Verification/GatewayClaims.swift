package import JOSE
package import SPIFFE

/// The claims of a gateway token whose signature was good, as far as verdicts and answers need them.
package struct GatewayClaims: Sendable {
    static let modelsDetailType: ExactString = "daypass_models"
    /// How many objects stand in one another at most: the claims, and all that acts.
    static let maximumDepth = 1 + ActorAuthenticator.maximumDepth
    /// From so many other keys than its own a token may descend.
    package static let maximumAncestorKeys = 32

    package let subject: ExactString
    package let sessionID: ExactString
    /// The session ids from the first one to this token's own.
    package let lineage: [ExactString]
    package private(set) var audience: ExactString
    package private(set) var rule: ExactString
    package let tokenID: ExactString
    /// Which of the broker's keys signed it.
    package private(set) var keyID: ExactString
    /// Which others signed the tokens that it was renewed or narrowed from, each once, the first one first: `kids`. It is
    /// as good as all of them, since with any one somebody could have made up what it comes from.
    package let ancestorKeys: [ExactString]
    /// The revocations with higher numbers than this may kill it: the highest one at the session's authentication.
    package let revision: UInt64
    /// Who acts for the subject, as it stands in the token.
    package let actor: JSONObject?
    /// The subjects of those who act, the last one first.
    package let actors: [ExactString]
    package private(set) var scope: [Scope]
    /// The certificate without which the token is good for nothing (RFC 8705 §3); nil for a plain bearer token.
    package let binding: CertificateFingerprint?
    /// Nil where the token does not speak of models.
    package private(set) var models: [Glob]?
    /// Seconds since 1970.
    package let issuedAt: Double
    package let notBefore: Double
    package let expiry: Double

    /// - Returns: nil when a claim that the mint always writes is not there as it writes it.
    init?(_ claims: JSONObject, signedBy keyID: ExactString) {
        guard let subject = claims["sub"]?.string, let sessionID = claims["sid"]?.string,
            let rule = claims["rule"]?.string, let tokenID = claims["jti"]?.string,
            let scopeText = claims["scope"]?.string, let scope = Scope.list(parsing: scopeText.string),
            let notBefore = claims["nbf"]?.number, let expiry = claims["exp"]?.number,
            let audience = claims["aud"]?.string, let lineage = claims["lin"]?.array?.map(\.string),
            !lineage.contains(nil), lineage.last == sessionID, let issuedAt = claims["iat"]?.number,
            let revision = claims["rev"]?.number.flatMap({ UInt64(exactly: $0) }),
            revision <= Revocation.maximumSequence,
            let ancestorKeys = Self.ancestorKeys(claims["kids"], besides: keyID)
        else { return nil }
        if let acting = claims["act"] {
            // Whoever acts can be revoked: there may be nobody in it whose name we do not see.
            guard let acting = acting.object, let actors = Self.everyone(actingIn: acting) else { return nil }
            actor = acting
            self.actors = actors
        } else {
            actor = nil
            actors = []
        }
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
        self.keyID = keyID
        self.ancestorKeys = ancestorKeys
        self.revision = revision
        self.issuedAt = issuedAt
        self.scope = scope
        self.models = models
        self.notBefore = notBefore
        self.expiry = expiry
    }

    /// Those of a token for which nobody acts, and that is good from the moment on at which it was issued.
    /// - Parameter ancestors: the session ids before its own.
    init(
        subject: ExactString, sessionID: ExactString, tokenID: ExactString, _ grant: VerifiedGrant.Content,
        revision: UInt64, issuedAt: Double, expiry: Double, ancestors: [ExactString] = [],
        ancestorKeys: [ExactString] = [], binding: CertificateFingerprint? = nil
    ) {
        self.subject = subject
        self.sessionID = sessionID
        lineage = ancestors + [sessionID]
        audience = grant.audience
        rule = grant.rule
        self.tokenID = tokenID
        keyID = grant.keyID
        self.ancestorKeys = ancestorKeys
        self.revision = revision
        actor = nil
        actors = []
        scope = grant.scope
        self.binding = binding
        models = grant.models
        self.issuedAt = issuedAt
        notBefore = issuedAt
        self.expiry = expiry
    }

    /// Whether the other initializer loses nothing of it.
    var isPlain: Bool { actor == nil && notBefore == issuedAt }

    /// The same in the texts of `grant`, which says the same, so that they are kept once.
    mutating func share(_ grant: VerifiedGrant.Content) {
        audience = grant.audience
        rule = grant.rule
        keyID = grant.keyID
        scope = grant.scope
        models = grant.models
    }

    /// The keys that whatever is made of this token descends from.
    var keys: [ExactString] { ancestorKeys + [keyID] }

    /// Whether any of its scopes is one of the broker's own.
    package var isForBroker: Bool { scope.contains(where: \.isReserved) }

    /// The name of who vouches for the subject.
    var issuer: IssuerName? {
        IssuerName(of: subject)
    }

    /// The subjects of those who act, of an `act` that we made ourselves.
    static func subjects(actingIn actor: JSONObject?) -> [ExactString] {
        var subjects: [ExactString] = []
        var next = actor
        while let current = next {
            if let subject = current["sub"]?.string { subjects.append(subject) }
            next = current["act"]?.object
        }
        return subjects
    }

    /// - Returns: nil where one of them has no name.
    private static func everyone(actingIn actor: JSONObject) -> [ExactString]? {
        var subjects: [ExactString] = []
        var next: JSONValue? = .object(actor)
        while let current = next {
            guard let subject = current.object?["sub"]?.string else { return nil }
            subjects.append(subject)
            next = current.object?["act"]
        }
        return subjects
    }

    /// Whether whoever has that certificate, or none, may use the token.
    func mayBeUsed(with certificate: CertificateFingerprint?) -> Bool {
        binding == nil || binding == certificate
    }

    private static func ancestorKeys(_ claim: JSONValue?, besides keyID: ExactString) -> [ExactString]? {
        guard let claim else { return [] }
        guard let values = claim.array, (1...maximumAncestorKeys).contains(values.count) else { return nil }
        let keys = values.compactMap(\.string)
        guard keys.count == values.count, Set(keys + [keyID]).count == keys.count + 1 else { return nil }
        return keys
    }

    /// `cnf` (RFC 8705 §3.1).
    static func confirmation(of binding: CertificateFingerprint) -> JSONValue {
        ["x5t#S256": .string(binding.thumbprint)]
    }

    /// `authorization_details` (RFC 9396 §2), as `models(_:)` reads them.
    static func authorizationDetails(of models: [Glob]) -> JSONValue {
        [["type": .string(modelsDetailType), "models": .array(models.map { .string($0.pattern) })]]
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
