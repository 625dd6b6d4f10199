package import Broker
import JOSE

/// Fetches the keys of an issuer from a configured URL.
package struct URLKeySetFetcher: KeySetFetcher {
    private let url: OutboundURL
    private let allowsPrivateAddresses: Bool
    private let fetcher: GuardedFetcher

    /// - Throws: when `url` is not one that we would connect to.
    package init(
        url: String, allowsPrivateAddresses: Bool, fetcher: GuardedFetcher
    ) throws(KeySetFetchFailure) {
        do {
            self.url = try OutboundURL(parsing: url)
        } catch {
            throw KeySetFetchFailure("the URL of the keys: \(error)")
        }
        self.allowsPrivateAddresses = allowsPrivateAddresses
        self.fetcher = fetcher
    }

    package func fetch() async throws(KeySetFetchFailure) -> FetchedKeySet {
        try await fetcher.keySet(at: url, allowsPrivateAddresses: allowsPrivateAddresses, before: fetcher.deadline)
    }
}

extension GuardedFetcher {
    /// The JWK Set at `url`.
    func keySet(
        at url: OutboundURL, allowsPrivateAddresses: Bool, before deadline: ContinuousClock.Instant
    ) async throws(KeySetFetchFailure) -> FetchedKeySet {
        let document: FetchedDocument
        do {
            document = try await fetch(url, allowsPrivateAddresses: allowsPrivateAddresses, before: deadline)
        } catch {
            throw KeySetFetchFailure("keys: \(error)")
        }
        do {
            return FetchedKeySet(keys: try JWKSet(parsing: document.body), maximumAge: document.maximumAge)
        } catch {
            throw KeySetFetchFailure("keys: \(url): \(error)")
        }
    }
}
