/// What somebody shows to the broker.
package enum Proof: Sendable, Hashable {
    /// A JWT of an issuer that the broker trusts.
    case identityToken(TokenText)
    /// The certificate of the connection.
    case certificate
    /// The sign-in of this user, which its endpoint keeps itself: see `SignedInBroker`.
    case signIn
    /// One of the broker's own tokens, which is renewed.
    case gatewayToken(TokenText)
}

/// Where proofs come from: a fresh one each time that it is asked.
package protocol ProofSource: Sendable {
    func proof(within time: Duration) async throws(TokenFailure) -> Proof
}

/// What the broker answers to a proof.
package struct IssuedToken: Sendable, Hashable {
    package let token: TokenText
    /// Space separated.
    package let scope: String
    package let session: String
    /// In seconds, from the moment in which it was asked for.
    package let lifetime: Int

    package init(token: TokenText, scope: String, session: String, lifetime: Int) {
        (self.token, self.scope, self.session, self.lifetime) = (token, scope, session, lifetime)
    }
}

/// What the broker thinks of a token of its own.
package enum TokenCheck: Sendable, Hashable {
    case good
    /// It is of no use any more.
    case bad
    /// There was no answer in time, or none that says either.
    case unknown
}

/// A broker, as somebody who needs tokens sees it.
package protocol TokenEndpoint: Sendable {
    func exchange(_ proof: Proof, within time: Duration) async throws(TokenFailure) -> IssuedToken
    /// - Parameter scope: one that the token has.
    func check(_ token: TokenText, scope: String, within time: Duration) async -> TokenCheck
    /// For how long an exchange has to be waited for, once it has begun: with less time left none is begun.
    var slowestAnswer: Duration { get }
    /// For how long a kept token that was found good is given out without asking again.
    var trust: Duration { get }
}

extension TokenEndpoint {
    /// What is lost here is lost to nobody else.
    package var slowestAnswer: Duration { .zero }
    package var trust: Duration { .seconds(2) }
}
