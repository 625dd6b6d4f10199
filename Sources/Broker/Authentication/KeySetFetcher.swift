package import JOSE

/// Fetches an issuer's key set from wherever its configuration says.
package protocol KeySetFetcher: Sendable {
    /// The key set as it is published at this moment.
    /// - Throws: within 5 seconds at the latest.
    func fetch() async throws(KeySetFetchFailure) -> FetchedKeySet
}

/// A key set, and how long its publisher says that it keeps.
package struct FetchedKeySet: Sendable {
    package let keys: JWKSet
    /// From `Cache-Control: max-age` (RFC 9111 §5.2.2.1), where given.
    package let maximumAge: Duration?

    package init(keys: JWKSet, maximumAge: Duration?) {
        self.keys = keys
        self.maximumAge = maximumAge
    }
}

/// Why a key set could not be fetched, in words for the operator; they may name the configured URL.
package struct KeySetFetchFailure: Error, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}
