package import JOSE
package import SPIFFE

/// A trust domain whose SVIDs may be exchanged.
package struct TrustDomainConfiguration: Sendable, Equatable {
    package var name: TrustDomain
    package var bundle: BundleSource
    /// What `aud` of its JWT-SVIDs has to contain.
    package var audience: ExactString
    /// The longest `exp − iat` of a JWT-SVID that is accepted; where it has no `iat`, the longest that it may still live.
    package var maximumLifetime: Duration
    /// How often one JWT-SVID may be presented.
    package var replay: ReplayPolicy

    package enum BundleSource: Sendable {
        /// Read at start, and again whenever the file at `path`, an absolute one, changes.
        case file(TrustBundle, path: String)
        /// Fetched at start, and again and again.
        case endpoint(BundleEndpoint)
    }

    package init(
        name: TrustDomain, bundle: BundleSource, audience: ExactString, maximumLifetime: Duration = .seconds(3600),
        replay: ReplayPolicy = .standard
    ) {
        self.name = name
        self.bundle = bundle
        self.audience = audience
        self.maximumLifetime = maximumLifetime
        self.replay = replay
    }
}
