import OpenSSL
import Synchronization

/// Authorities that stood in a good path, as they were read: thousands of workloads send the same ones, and reading a
/// certificate costs more than checking a signature. That it is here says nothing about an authority: each path is validated
/// with it anew. Callable from any thread.
final class KnownAuthorities: Sendable {
    /// In certificates.
    static let capacity = 256

    private let certificates = Mutex(RecentlyUsed<Certificate>(capacity: capacity))

    var count: Int { certificates.withLock { $0.count } }

    /// The certificate that these bytes are.
    func certificate(_ der: [UInt8]) throws(CertificateFailure) -> Certificate {
        if let known = certificates.withLock({ $0.value(der) }) { return known }
        return try Certificate(der: der)
    }

    /// - Parameter authorities: of a path that proved an identity. Anybody can send others, also beside those of a path.
    func remember(_ authorities: some Sequence<Certificate>) {
        certificates.withLock { certificates in
            for authority in authorities where certificates.value(authority.der) == nil {
                certificates.insert(authority, authority.der)
            }
        }
    }
}
