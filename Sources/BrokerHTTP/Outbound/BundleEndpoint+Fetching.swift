package import Broker
package import SPIFFE

extension BundleEndpoint {
    /// What fetches from it, by its profile.
    /// - Parameter bundles: what is trusted at the moment: who serves by `https_spiffe` is checked against the newest.
    /// - Throws: where the URL is not one that we would connect to; nothing is fetched yet.
    package func fetcher(
        resolver: any HostResolver, bundles: @escaping @Sendable () -> TrustBundleSet, clock: any BrokerClock
    ) throws(BundleFetchFailure) -> any BundleFetcher {
        switch profile {
        case .web: return try WebBundleFetcher(self, resolver: resolver)
        // The configuration refuses it with the same words: see BundleSection.
        case .spiffe: throw BundleFetchFailure("https_spiffe is not supported by this version")
        }
    }
}
