package import Broker

/// Fetches a bundle from an endpoint of the profile `https_web` (SPIFFE Federation §5.2.1): the server is who its name says,
/// by an authority of the machine or of the configuration.
///
/// A redirect may lead to another host (§5.2.1.4: bundles are served by content networks). The server could serve whatever
/// that host serves, so trust gains nothing by refusing; what it must not gain is a way into our network. So the target has
/// to be https with a certificate of its own name from the same authorities, its addresses are checked anew, and
/// `allow_private` counts for the configured host alone. Nothing is remembered of a redirect.
package struct WebBundleFetcher: BundleFetcher {
    private let url: OutboundURL
    private let allowsPrivateAddresses: Bool
    private let fetcher: GuardedFetcher

    /// - Throws: when the URL is not one that we would connect to.
    package init(
        _ endpoint: BundleEndpoint, resolver: any HostResolver, timeLimit: Duration = .seconds(5)
    ) throws(BundleFetchFailure) {
        url = try endpoint.outboundURL()
        allowsPrivateAddresses = endpoint.allowsPrivateAddresses
        fetcher = GuardedFetcher(
            resolver: resolver, trustRoots: endpoint.authorities.map { .pem($0) } ?? .system, timeLimit: timeLimit,
            redirects: .anyHost)
    }

    package func fetch() async throws(BundleFetchFailure) -> [UInt8] {
        do {
            let deadline = fetcher.deadline
            return try await fetcher.fetch(url, allowsPrivateAddresses: allowsPrivateAddresses, before: deadline).body
        } catch {
            throw BundleFetchFailure("\(error)")
        }
    }
}
