package import FoundationEssentials
package import JOSE
package import SPIFFE

/// Where the last good bundle of each endpoint is kept, so that a restart neither loses it nor lets an older one count.
package protocol TrustBundleStore: Sendable {
    /// What is kept of a trust domain.
    func trustBundle(of trustDomain: TrustDomain) async throws(StoreFailure) -> TrustBundleRecord?

    /// Keeps `record` in the place of what is kept of its trust domain.
    /// - Throws: `.conflict` where that is of the same endpoint and would have to go back: to a lower sequence, or to none.
    func keep(_ record: TrustBundleRecord) async throws(StoreFailure)
}

/// A bundle at rest.
package struct TrustBundleRecord: Sendable, Hashable {
    package let trustDomain: TrustDomain
    /// Where it was fetched: `BundleEndpoint.identity`.
    package let endpoint: ExactString
    /// The highest that the endpoint has served. Readable also where `sealed` no longer opens.
    package let sequence: UInt64?
    /// The document under the master key: whoever can write the store cannot add an authority.
    package let sealed: [UInt8]
    /// Which master key sealed it.
    package let masterKeyID: ExactString
    package let updated: Date

    package init(
        trustDomain: TrustDomain, endpoint: ExactString, sequence: UInt64?, sealed: [UInt8], masterKeyID: ExactString,
        updated: Date
    ) {
        self.trustDomain = trustDomain
        self.endpoint = endpoint
        self.sequence = sequence
        self.sealed = sealed
        self.masterKeyID = masterKeyID
        self.updated = updated
    }

    static func place(of trustDomain: TrustDomain, from endpoint: ExactString) -> SealedPlace {
        SealedPlace(purpose: "trust-bundle", table: "trust_bundles", id: "\(trustDomain) \(endpoint)", version: 1)
    }

    /// Whether the same endpoint's `next` may take its place.
    package func mayBecome(_ next: TrustBundleRecord) -> Bool {
        guard endpoint == next.endpoint, let sequence else { return true }
        return next.sequence.map { $0 >= sequence } ?? false
    }
}
