package import JOSE

/// An OIDC issuer whose tokens may be exchanged.
package struct IssuerConfiguration: Sendable, Equatable {
    /// Of `maximumLifetime`.
    package static let longestLifetime: Duration = .seconds(86_400)

    package var name: IssuerName
    /// `iss`, byte for byte.
    package var issuer: ExactString
    /// What `aud` has to contain.
    package var audience: ExactString
    package var keys: KeySource
    /// Never empty.
    package var algorithms: Set<JWSAlgorithm>
    /// The longest `exp − iat` that is accepted.
    package var maximumLifetime: Duration
    /// For an issuer that many organisations share: the claims of which a rule has to match one without a wildcard.
    /// Empty for an issuer of one's own.
    package var requiredClaims: [ExactString]
    /// Whether keys may come from private addresses, and over plain HTTP from loopback.
    package var allowsPrivateAddresses: Bool
    /// How often one token may be presented.
    package var replay: ReplayPolicy

    /// Where the issuer's keys come from.
    package enum KeySource: Sendable {
        /// OpenID Connect Discovery 1.0 §4 at the issuer.
        case discovery
        case url(String)
        /// A JWK Set read at start. `path` is where it came from, for messages.
        case inline(JWKSet, path: String)
    }

    package init(
        name: IssuerName, issuer: ExactString, audience: ExactString, keys: KeySource = .discovery,
        algorithms: Set<JWSAlgorithm> = [.RS256], maximumLifetime: Duration = .seconds(3600),
        requiredClaims: [ExactString] = [], allowsPrivateAddresses: Bool = false, replay: ReplayPolicy = .standard
    ) {
        self.name = name
        self.issuer = issuer
        self.audience = audience
        self.keys = keys
        self.algorithms = algorithms
        self.maximumLifetime = maximumLifetime
        self.requiredClaims = requiredClaims
        self.allowsPrivateAddresses = allowsPrivateAddresses
        self.replay = replay
    }
}

/// How often one subject token may be presented before it expires.
package enum ReplayPolicy: Sendable, Hashable {
    /// As often as its holder likes, each time for a session of its own: for tokens that are files, read again and again.
    case off
    /// A single time.
    case once
    /// At most so often, and each time for the session of the first: a job that starts several processes.
    case window(maximumUses: Int)

    package static let standard = window(maximumUses: 32)

    /// How often; nil without a limit.
    package var maximumUses: Int? {
        switch self {
        case .off: nil
        case .once: 1
        case .window(let uses): uses
        }
    }
}
