import OpenSSL

/// SHA-256 of a file that is written or read piece by piece. For one thread at a time.
package final class ArchiveDigest {
    private let digest = RunningDigest(.sha256)

    package init() {}

    package func update(_ bytes: [UInt8]) { digest.update(bytes) }

    /// Of all that came; once.
    package func finish() -> [UInt8] { digest.finish() }
}
