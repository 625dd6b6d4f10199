package import JOSE

/// A federation rule: which verified subjects of one issuer, or of one trust domain, under which claims, receive which
/// grant.
package struct Rule: Sendable, Hashable {
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
package struct GrantTerms: Sendable, Hashable {
    /// 1 to 64, no scope twice; all of them the broker's own, or none.
    package let scope: [Scope]
    /// How long a gateway token lives at most.
    package let timeToLive: Duration
    /// How long a session lives from its authentication on; at least `timeToLive`.
    package let maximumSession: Duration
    /// Patterns of model names; nil: the grant does not speak of models.
    package let models: [Glob]?
    /// Never empty; the first is the default. Of the broker's own scopes it is the broker, alone.
    package let audiences: [ExactString]
    /// Whether tokens are bound to the certificate that the request came with, and none is granted without one.
    package let bindsCertificate: Bool
    /// Whether a caller whose signature was good, and whom the rule does not match, is told which claims did not.
    package let explainsToCaller: Bool

    package static let longestSession: Duration = .seconds(24 * 3600)
    /// In bytes, of scopes and model patterns together: both stand in the token, and many gateways take no header of
    /// more than 8 KiB.
    package static let maximumTextLength = 4096

    /// Whether it is for the broker itself: its tokens are good at no gateway, they are not renewed, and order never
    /// chooses a rule with it.
    package var isForBroker: Bool { scope[0].isReserved }

    /// - Returns: nil when one of the above does not hold, or anything is longer than 24 hours; or where the broker's own
    ///   scopes have models, or a session longer than their token.
    package init?(
        scope: [Scope], timeToLive: Duration, maximumSession: Duration? = nil, models: [Glob]? = nil,
        audiences: [ExactString], bindsCertificate: Bool = false, explainsToCaller: Bool = false
    ) {
        let session = maximumSession ?? timeToLive
        let textLength = (scope.map(\.text) + (models ?? []).map(\.pattern)).reduce(0) { $0 + $1.utf8.count }
        guard (1...Scope.maximumCount).contains(scope.count), Set(scope).count == scope.count,
            textLength <= Self.maximumTextLength, !audiences.isEmpty, models?.isEmpty != true,
            timeToLive >= .seconds(1), session >= timeToLive, session <= Self.longestSession
        else { return nil }
        if scope.contains(where: \.isReserved) {
            let isOwn = scope.allSatisfy(\.isOwn) && models == nil && session == timeToLive && audiences.count == 1
            guard isOwn else { return nil }
        }
        self.scope = scope
        self.timeToLive = timeToLive
        self.maximumSession = session
        self.models = models
        self.audiences = audiences
        self.bindsCertificate = bindsCertificate
        self.explainsToCaller = explainsToCaller
    }
}
