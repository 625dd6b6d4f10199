package import JOSE

/// The answer to a gateway: allow, or deny with a reason.
package enum Verdict: Sendable {
    case allow(VerifiedToken)
    case deny(Denial)
}

/// A verdict, and what it was about: for whoever has to explain it.
package struct Judgement: Sendable {
    package let verdict: Verdict
    /// What of it was revoked; nil where that is not the reason.
    package let killer: Revocation.Target?
    private let token: VerifiedToken?

    /// - Parameter token: one that is denied, and whose signature was good.
    init(verdict: Verdict, token: VerifiedToken? = nil, killer: Revocation.Target? = nil) {
        self.verdict = verdict
        self.token = token
        self.killer = killer
    }

    /// Of a token that was denied, and whose signature was good; made anew at each call.
    package var claims: GatewayClaims? { token?.claims }
}

/// Why a token does not open what a gateway guards.
package enum Denial: Sendable, Equatable {
    /// The token itself is not good: 401, so that its holder gets a new one.
    case token(TokenFault)
    /// The token is good and lacks what is required: 403.
    case insufficientScope
    case insufficientModel
    /// The gateway requires nothing, so its configuration is most likely wrong: 403.
    case nothingRequired
    /// The gateway requires more models at once than are looked at: 403.
    case tooManyModels
    /// Too many tokens with bad signatures came from the address, so that its next one was not looked at: 429. Not 401, by
    /// which the holder of a good token would throw it away, nor 503, by which gateways take the broker for down.
    case tooManyFailures
    /// More is asked than can be answered in time, and the token would need a signature check: 503. Nothing is known of it.
    case overloaded

    package enum TokenFault: String, Error, Sendable, Equatable {
        case missing, malformed, type, issuer, audience, algorithm, key, signature, expired
        case notYetValid = "not_yet_valid"
        case claims
        /// It is bound to a certificate, and this is not the one (RFC 8705 §3).
        case certificate
        /// It, or something that it stands on, was revoked.
        case revoked
    }
}

/// What a gateway requires of a token.
package struct Requirement: Sendable, Equatable {
    /// Each of them is compared with each of the token's patterns.
    package static let maximumModels = 32

    /// All have to be in the token.
    package var scopes: [Scope]
    /// All have to be allowed by the token; no more than 32.
    package var models: [ExactString]

    package init(scopes: [Scope] = [], models: [ExactString] = []) {
        self.scopes = scopes
        self.models = models
    }
}
