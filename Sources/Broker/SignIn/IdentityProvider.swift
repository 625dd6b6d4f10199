package import OpenSSL

/// The company's identity provider, where a sign-in is renewed.
package protocol IdentityProvider: Sendable {
    /// Asks whether the one whose refresh token this is, is still who he was (RFC 6749 §6, OpenID Connect Core §12).
    func renew(_ token: SecretBytes) async throws(ProviderFailure) -> ProviderRenewal
}

/// What the provider said.
package struct ProviderRenewal: Sendable {
    /// Of the ID token.
    package enum Vouching: Sendable {
        /// There is none.
        case none
        case proves(VerifiedSubject)
        /// It is for another client, by the provider's signature. In words for the operator.
        case foreign(String)
        /// It could not be checked, or proves nothing here. In words for the operator.
        case unchecked(String)
    }

    package let vouching: Vouching
    /// What takes the place of the provider's refresh token, whatever became of the ID token; nil where it stays.
    package let token: SecretBytes?

    package init(_ vouching: Vouching, token: SecretBytes?) {
        self.vouching = vouching
        self.token = token
    }
}

/// Why it said nothing, or no.
package enum ProviderFailure: Error, Sendable {
    /// It could not be asked, or its answer was none: nobody is signed out for that. In words for the operator.
    case unavailable(String)
    /// It does not know the token any more, or lets its holder in no longer.
    case refused(String)
    /// It answers 400 and says nothing, which is a refusal of some providers, and no answer of others.
    case wordless
}
