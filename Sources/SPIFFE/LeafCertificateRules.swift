package import OpenSSL

/// What SPIFFE demands of the certificate that stands for a workload (X509-SVID §3.1, §4, §5.2), beyond its path.
enum LeafCertificateRules {
    /// The SPIFFE ID of `leaf`, if it may be used for authentication.
    static func identity(
        of leaf: Certificate, for purpose: CertificatePath.Purpose
    ) throws(LeafCertificateFailure) -> SPIFFEID {
        let id = try identity(of: leaf.extensions.uris)
        try checkUse(of: leaf.extensions, for: purpose)
        // RFC 5280 §4.1.2.6: the only names that there are must not be passed over.
        guard !leaf.hasEmptySubject || leaf.extensions.alternativeNamesAreCritical else {
            throw .namesNotCritical
        }
        return id
    }

    /// Exactly one URI among the alternative names, of whichever scheme (§2).
    private static func identity(of uris: [[UInt8]]) throws(LeafCertificateFailure) -> SPIFFEID {
        guard let uri = uris.first else { throw .noURI }
        guard uris.count == 1 else { throw .severalURIs(uris.count) }
        let id: SPIFFEID
        do {
            id = try SPIFFEID(parsing: uri)
        } catch {
            throw .id(error)
        }
        guard id.isWorkload else { throw .noPath }
        return id
    }

    static func checkUse(
        of extensions: CertificateExtensions, for purpose: CertificatePath.Purpose
    ) throws(LeafCertificateFailure) {
        guard !extensions.isAuthority else { throw .isAuthority }
        guard let usage = extensions.keyUsage else { throw .noKeyUsage }
        guard !usage.contains(.keyCertSign) else { throw .keyCertSign }
        guard !usage.contains(.crlSign) else { throw .crlSign }
        guard usage.contains(.digitalSignature) else { throw .noDigitalSignature }
        if let extended = extensions.extendedKeyUsage {
            let allowed =
                switch purpose {
                case .tlsClient: extended.clientAuthentication
                case .tlsServer: extended.serverAuthentication
                }
            guard allowed else { throw .extendedKeyUsage(purpose) }
        }
        guard extensions.keyUsageIsCritical else { throw .keyUsageNotCritical }
    }
}

/// Why a certificate cannot stand for a workload.
package enum LeafCertificateFailure: Error, Sendable, Equatable, CustomStringConvertible {
    case noURI
    case severalURIs(Int)
    case id(SPIFFEIDFailure)
    case noPath
    case isAuthority, keyCertSign, crlSign
    case noKeyUsage, noDigitalSignature, keyUsageNotCritical
    case extendedKeyUsage(CertificatePath.Purpose)
    case namesNotCritical

    package var description: String {
        switch self {
        case .noURI: "it has no URI among its alternative names"
        case .severalURIs(let count): "it has \(count) URIs among its alternative names, where one is allowed"
        case .id(let failure): "its URI is no SPIFFE ID: \(failure)"
        case .noPath: "its SPIFFE ID has no path, and so names a trust domain and not a workload"
        case .isAuthority: "it is a certificate authority"
        case .keyCertSign: "its key may sign certificates"
        case .crlSign: "its key may sign revocation lists"
        case .noKeyUsage: "it does not say what its key may be used for"
        case .noDigitalSignature: "its key may not make digital signatures"
        case .keyUsageNotCritical: "its key usage is not marked critical"
        case .extendedKeyUsage(.tlsClient): "its extended key usage does not allow client authentication"
        case .extendedKeyUsage(.tlsServer): "its extended key usage does not allow server authentication"
        case .namesNotCritical: "its subject is empty and its alternative names are not marked critical"
        }
    }
}
