import OpenSSL
import Synchronization

/// Bytes that were found not to be what the key they name has signed: shown again, they are not checked again for a minute.
///
/// A key's id is the thumbprint of the key, so what failed under it fails as long as it is the same bytes. Only these very
/// bytes are refused for it, and only for a minute, should OpenSSL itself have failed. 4096 digests, each in the one place
/// that it has, which a newer one takes: 160 KiB. Whoever fills it makes himself be checked again, and nobody else's token
/// fail. Callable from any thread.
final class KnownForgeries: Sendable {
    static let count = 4096
    /// Seconds.
    static let life = 60.0

    private struct Place {
        var digest = SHA256Digest.none
        /// Seconds since 1970.
        var noted = -Double.infinity
    }

    private let places = Mutex(Array(repeating: Place(), count: KnownForgeries.count))

    /// - Parameter seconds: since 1970. Where that clock was set back or forth, nothing is known.
    func contains(_ digest: SHA256Digest, at seconds: Double) -> Bool {
        places.withLock { places in
            let place = places[Self.index(of: digest)]
            return place.digest == digest && abs(seconds - place.noted) < Self.life
        }
    }

    func insert(_ digest: SHA256Digest, at seconds: Double) {
        places.withLock { $0[Self.index(of: digest)] = Place(digest: digest, noted: seconds) }
    }

    private static func index(of digest: SHA256Digest) -> Int {
        Int(truncatingIfNeeded: digest.words.0 % UInt64(count))
    }
}
