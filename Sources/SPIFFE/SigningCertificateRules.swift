import OpenSSL

/// What SPIFFE demands of a certificate that signs others (X509-SVID §3.2, §4): of each that a peer sends after its leaf,
/// and of each in a bundle.
enum SigningCertificateRules {
    static func check(_ certificate: Certificate) throws(SigningCertificateFailure) {
        let extensions = certificate.extensions
        guard extensions.isAuthority else { throw .notAuthority }
        guard let usage = extensions.keyUsage, usage.contains(.keyCertSign) else { throw .noKeyCertSign }
        // Whoever names no SPIFFE ID is no SVID, and other URIs are none of our business.
        guard extensions.uris.contains(where: isSPIFFE) else { return }
        guard let uri = extensions.uris.first, extensions.uris.count == 1 else { throw .severalURIs }
        guard extensions.keyUsageIsCritical else { throw .keyUsageNotCritical }
        let id: SPIFFEID
        do {
            // The standard's own example ends with a slash (Trust Domain and Bundle, appendix A); that is no path.
            id = try SPIFFEID(parsing: uri.last == UInt8(ascii: "/") ? uri.dropLast() : uri)
        } catch {
            throw .id(error)
        }
        guard !id.isWorkload else { throw .hasPath }
    }

    /// Whether somebody may take it for a SPIFFE ID: schemes compare without regard to case (RFC 3986 §3.1).
    private static func isSPIFFE(_ uri: [UInt8]) -> Bool {
        uri.prefix(7).map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }.elementsEqual("spiffe:".utf8)
    }
}

/// Why a certificate cannot sign for a trust domain.
package enum SigningCertificateFailure: Error, Sendable, Equatable, CustomStringConvertible {
    case notAuthority, noKeyCertSign
    case severalURIs, keyUsageNotCritical, hasPath
    case id(SPIFFEIDFailure)

    package var description: String {
        switch self {
        case .notAuthority: "its basic constraints do not make it a certificate authority"
        case .noKeyCertSign: "its key usage does not allow it to sign certificates"
        case .severalURIs: "it has a SPIFFE ID and further URIs among its alternative names"
        case .keyUsageNotCritical: "it has a SPIFFE ID, and its key usage is not marked critical"
        case .hasPath: "its SPIFFE ID has a path, and so names a workload"
        case .id(let failure): "its URI is no SPIFFE ID: \(failure)"
        }
    }
}
