package import JOSE

/// What the configuration wants of the proofs of an issuer, or of the JWT-SVIDs of a trust domain, for explanations.
package struct ProofLimits: Sendable {
    package let issuer: IssuerName
    /// What `aud` has to contain.
    package let audience: ExactString
    /// The longest `exp − iat`.
    package let maximumLifetime: Duration
    package let replay: ReplayPolicy

    package init(_ issuer: IssuerConfiguration) {
        self.issuer = issuer.name
        audience = issuer.audience
        maximumLifetime = issuer.maximumLifetime
        replay = issuer.replay
    }

    package init(_ domain: TrustDomainConfiguration) {
        issuer = IssuerName(domain.name)
        audience = domain.audience
        maximumLifetime = domain.maximumLifetime
        replay = domain.replay
    }
}
