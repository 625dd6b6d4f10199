import COpenSSL
package import FoundationEssentials

/// A path from a certificate to a root that we were told to trust, validated by OpenSSL (RFC 5280 §6). Only
/// `validate` makes one.
///
/// Which certificates may be a leaf or an authority by the rules of SPIFFE is not decided here.
package struct CertificatePath: Sendable {
    /// In certificates, leaf and root counted.
    package static let maximumLength = 8
    /// Roots of one name that are tried, one after another, where keys were rotated and nothing but a signature tells
    /// them apart. A wrong one costs one signature check, the right one as many as the path has.
    package static let maximumAttempts = 8

    package enum Purpose: Sendable {
        case tlsClient, tlsServer
    }

    /// The leaf first, the root last; at least two.
    package let certificates: [Certificate]
    /// The first moment at which a certificate of the path, the root included, is not valid any more.
    package let expiry: Date

    /// The path from `leaf` to one of `roots`. Does not suspend; callable from any thread.
    ///
    /// Roots are trust anchors whoever signed them: a bundle may hold a certificate that is not self-signed (X509-SVID
    /// §6.1). OpenSSL never goes back on the choice of an issuer, so that cycles and crowds of one name cost no more
    /// signature checks than a path has certificates.
    package static func validate(
        _ leaf: Certificate, intermediates: [Certificate], roots: [Certificate], for purpose: Purpose, at now: Date
    ) throws(CertificatePathFailure) -> CertificatePath {
        guard 1 + intermediates.count <= maximumLength else { throw .init(.tooLong) }
        guard let seconds = Int(exactly: now.timeIntervalSince1970.rounded(.down)) else { throw .init(.clock) }
        for (position, certificate) in ([leaf] + intermediates).enumerated() {
            guard certificate.signatureScheme != nil else { throw .init(.signatureAlgorithm, at: position) }
        }
        var candidates = roots
        for attempt in 1...maximumAttempts {
            let path = CertificatePathBuilder(leaf: leaf, intermediates: intermediates, roots: candidates)
            switch path.build(for: purpose, at: seconds) {
            case .found(let certificates):
                guard (2...maximumLength).contains(certificates.count) else { throw .init(.tooLong) }
                return CertificatePath(
                    certificates: certificates, expiry: certificates.map(\.notAfter).min() ?? leaf.notAfter)
            case .failed(let failure, let wrongRoot):
                guard let wrongRoot, attempt < maximumAttempts else { throw failure }
                let remaining = candidates.filter { $0.handle !== wrongRoot.handle }
                guard remaining.contains(where: { $0.handle.hasSubject(of: wrongRoot.handle) }) else { throw failure }
                candidates = remaining
            }
        }
        throw .init(.signature)
    }
}
