package import FoundationEssentials
package import JOSE

/// An identity whose proof has been checked. Only an authenticator makes one.
package struct VerifiedSubject: Sendable {
    /// The configured name of the issuer that vouches for it.
    package let issuer: IssuerName
    /// The identity, unambiguous among all issuers: `name:sub`.
    package let identity: ExactString
    /// The claims of the proof, as signed.
    package let claims: JSONObject
    /// When the proof stops being one.
    package let expiry: Date
    /// What presenting the proof uses up; nil where that is not limited.
    package let use: SubjectTokenUse?

    init(_ proof: JWTAuthenticator.Proof) {
        issuer = proof.issuer
        identity = proof.identity
        claims = proof.claims
        expiry = proof.expiry
        use = proof.use
    }
}
