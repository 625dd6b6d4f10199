package import JOSE

/// A federation rule: which verified subjects of one issuer, under which claims, receive which grant.
package struct Rule: Sendable {
    /// 1 to 128 printable ASCII characters without spaces.
    package let name: ExactString
    package let issuer: IssuerName
    /// All have to hold.
    package let matchers: [ClaimMatcher]
    /// Ids that a request has to name as well; those that it lists have to be equal.
    package let federation: FederationIDs
    package let terms: GrantTerms

    /// - Returns: nil for a name of another form.
    package init?(
        name: String, issuer: IssuerName, matchers: [ClaimMatcher], federation: FederationIDs = FederationIDs(),
        terms: GrantTerms
    ) {
        guard (1...128).contains(name.utf8.count), name.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            return nil
        }
        self.name = ExactString(name)
        self.issuer = issuer
        self.matchers = matchers
        self.federation = federation
        self.terms = terms
    }
}

/// What a rule allows, as its author wrote it. A `Grant` comes of it only by a match.
package struct GrantTerms: Sendable {
    /// 1 to 64, no scope twice.
    package let scope: [Scope]
    /// How long a gateway token lives at most.
    package let timeToLive: Duration
    /// How long a session lives from its authentication on; at least `timeToLive`.
    package let maximumSession: Duration
    /// Patterns of model names; nil: the grant does not speak of models.
    package let models: [Glob]?
    /// Never empty; the first is the default.
    package let audiences: [ExactString]

    package static let longestSession: Duration = .seconds(24 * 3600)
    /// In bytes, of scopes and model patterns together: both stand in the token, and many gateways take no header of
    /// more than 8 KiB.
    package static let maximumTextLength = 4096

    /// - Returns: nil when one of the above does not hold, or anything is longer than 24 hours.
    package init?(
        scope: [Scope], timeToLive: Duration, maximumSession: Duration? = nil, models: [Glob]? = nil,
        audiences: [ExactString]
    ) {
        let session = maximumSession ?? timeToLive
        let textLength = (scope.map(\.text) + (models ?? []).map(\.pattern)).reduce(0) { $0 + $1.utf8.count }
        guard (1...Scope.maximumCount).contains(scope.count), Set(scope).count == scope.count,
            textLength <= Self.maximumTextLength, !audiences.isEmpty, models?.isEmpty != true,
            timeToLive >= .seconds(1), session >= timeToLive, session <= Self.longestSession
        else { return nil }
        self.scope = scope
        self.timeToLive = timeToLive
        self.maximumSession = session
        self.models = models
        self.audiences = audiences
    }
}

/// One scope (RFC 6749 §3.3: `scope-token`).
package struct Scope: Sendable, Hashable, CustomStringConvertible {
    /// In one list.
    package static let maximumCount = 64

    package let text: ExactString

    /// - Returns: nil unless `text` is 1 to 128 of the characters %x21 / %x23-5B / %x5D-7E.
    package init?(parsing text: String) {
        let isAllowed = { (byte: UInt8) in (0x21...0x7E).contains(byte) && byte != 0x22 && byte != 0x5C }
        guard (1...128).contains(text.utf8.count), text.utf8.allSatisfy(isAllowed) else { return nil }
        self.text = ExactString(text)
    }

    /// The scopes of a space-separated list, in its order, each once.
    /// - Returns: nil when one is malformed, or there are more than 64.
    package static func list(parsing text: String) -> [Scope]? {
        var scopes: [Scope] = []
        for part in text.split(separator: " ") {
            guard let scope = Scope(parsing: String(part)) else { return nil }
            if !scopes.contains(scope) { scopes.append(scope) }
            guard scopes.count <= maximumCount else { return nil }
        }
        return scopes
    }

    /// Whether it is one of the broker's own (`daypass:…`), which are kept apart from all others.
    package var isReserved: Bool { text.string.hasPrefix("daypass:") }

    package var description: String { text.string }
}
