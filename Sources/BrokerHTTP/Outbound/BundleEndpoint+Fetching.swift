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
        case .spiffe(let id):
            return SPIFFEEndpoint(
                url: try outboundURL(), id: id, allowsPrivateAddresses: allowsPrivateAddresses,
                fetcher: SPIFFEBundleFetcher(resolver: resolver, bundles: bundles, clock: clock))
        }
    }

    func outboundURL() throws(BundleFetchFailure) -> OutboundURL {
        let url: OutboundURL
        do {
            url = try OutboundURL(parsing: self.url)
        } catch {
            throw BundleFetchFailure("the URL of the bundle endpoint: \(error)")
        }
        guard url.scheme == .https else { throw BundleFetchFailure("the URL of the bundle endpoint is not https") }
        return url
    }
}

/// An endpoint of the profile `https_spiffe`.
private struct SPIFFEEndpoint: BundleFetcher {
    let url: OutboundURL
    let id: SPIFFEID
    let allowsPrivateAddresses: Bool
    let fetcher: SPIFFEBundleFetcher

    func fetch() async throws(BundleFetchFailure) -> [UInt8] {
        do {
            let deadline = fetcher.deadline
            return try await fetcher.fetch(
                url, from: id, allowsPrivateAddresses: allowsPrivateAddresses, before: deadline
            ).body
        } catch {
            throw BundleFetchFailure("\(error)")
        }
    }
}
