/// Fetches a trust domain's bundle from its endpoint.
package protocol BundleFetcher: Sendable {
    /// The document that the endpoint serves at this moment, at most 512 KiB.
    /// - Throws: within 5 seconds at the latest.
    func fetch() async throws(BundleFetchFailure) -> [UInt8]
}

/// Why a bundle could not be fetched, in words for the operator; they may name the configured URL, and hold nothing of what
/// was served.
package struct BundleFetchFailure: Error, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}
