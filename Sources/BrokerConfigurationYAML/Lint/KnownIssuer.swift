internal import Broker
internal import JOSE

/// What tokens of an issuer look like, as far as its documentation says and a rule can be wrong about it.
struct KnownIssuer {
    /// The provider's name; nil for an issuer of which only what every OIDC token has is known.
    let provider: String?
    private(set) var claims: [ExactString: ClaimForm] = standard
    /// A name that can change hands, and the id that cannot.
    private(set) var idOfName: [ExactString: ExactString] = [:]
    /// Claims that a rule had better not read, and what to do instead.
    private(set) var adviceAgainst: [ExactString: String] = [:]
    private var implications: [Implication] = []

    /// While `claim` is `value`, the text of another claim begins in one of these ways.
    struct Implication {
        let claim: ExactString
        let value: ExactString
        let other: ExactString
        let beginnings: [ExactString]

        init(_ claim: ExactString, _ value: ExactString, _ other: ExactString, _ beginnings: [ExactString]) {
            self.claim = claim
            self.value = value
            self.other = other
            self.beginnings = beginnings
        }
    }

    init(
        provider: String?, claims: [ExactString: ClaimForm] = [:], idOfName: [ExactString: ExactString] = [:],
        adviceAgainst: [ExactString: String] = [:], implications: [Implication] = []
    ) {
        self.provider = provider
        self.claims.merge(claims) { $1 }
        self.idOfName = idOfName
        self.adviceAgainst = adviceAgainst
        self.implications = implications
    }

    /// Whether no value of the claim is an array, in which two values could stand beside each other.
    func isScalar(_ claim: ClaimPath) -> Bool {
        !claim.isNested && claims[claim.topLevelName]?.isScalar == true
    }

    /// What the other claim begins with where this test holds; nil if that is not known for all its values.
    func implication(of matcher: ClaimMatcher) -> (claim: ExactString, beginnings: [ExactString])? {
        guard !matcher.claim.isNested, matcher.isExact else { return nil }
        let implied = matcher.anyOf.map { pattern in
            implications.first { implication in
                guard implication.claim == matcher.claim.topLevelName, case .text(let glob) = pattern else {
                    return false
                }
                return glob.matches(implication.value)
            }
        }
        let found = implied.compactMap(\.self)
        guard let first = found.first, found.count == implied.count else { return nil }
        return (first.other, found.flatMap(\.beginnings))
    }

    /// RFC 7519 §4.1
    private static let standard: [ExactString: ClaimForm] = [
        "iss": .text, "sub": .text, "jti": .text, "aud": .texts, "exp": .number, "iat": .number, "nbf": .number,
    ]
}
