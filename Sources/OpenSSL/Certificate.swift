import COpenSSL
package import FoundationEssentials

/// An X.509 certificate (RFC 5280 §4) that is well formed and has a key that we accept. **Who signed it is not checked**:
/// that is `CertificatePath`'s part.
///
/// Everything that decides is read once, as ASN.1 values, and never from printed text.
package struct Certificate: Sendable {
    /// In bytes of DER.
    package static let maximumLength = 16 * 1024
    package static let maximumExtensions = 64
    /// Of any kind, in the subject's alternative names.
    package static let maximumNames = 256

    /// Exactly as it came.
    package let der: [UInt8]
    package let publicKey: PublicKey
    /// How it was signed; nil where that proves nothing, for SHA-1 and MD5 above all. Of no importance in a root.
    package let signatureScheme: CertificateSignatureScheme?
    package let notBefore: Date
    /// The first second at which it is not valid any more: OpenSSL counts the last one as expired.
    package let notAfter: Date
    package let hasEmptySubject: Bool
    package let extensions: CertificateExtensions

    let handle: CertificateHandle

    /// - Parameter der: one certificate in distinguished encoding, and nothing after it.
    package init(der: [UInt8]) throws(CertificateFailure) {
        guard der.count <= Self.maximumLength else { throw .length }
        OpenSSLError.clear()
        defer { OpenSSLError.clear() }
        handle = try CertificateHandle(der: der)
        // Version 1 has no extensions, and so no names and no constraints (RFC 5280 §4.1.2.1).
        guard handle.version == 3 else { throw .version }
        extensions = try CertificateExtensions(handle)
        try handle.cacheExtensions()
        do {
            publicKey = try handle.publicKey()
        } catch {
            throw .key(error)
        }
        signatureScheme = CertificateSignatureScheme(handle)
        (notBefore, notAfter) = try handle.validity()
        hasEmptySubject = handle.hasEmptySubject
        self.der = der
    }

    /// SHA-256 of the DER: 32 bytes.
    package var fingerprint: [UInt8] { HashAlgorithm.sha256.digest(der) }
}

/// How a certificate was signed, where that is good enough to count.
package enum CertificateSignatureScheme: Sendable, Hashable {
    case rsaPKCS1(HashAlgorithm), rsaPSS(HashAlgorithm), ecdsa(HashAlgorithm), ed25519

    init?(_ certificate: CertificateHandle) {
        var (digest, key): (Int32, Int32) = (0, 0)
        guard unsafe X509_get_signature_info(certificate.pointer, &digest, &key, nil, nil) == 1 else { return nil }
        if key == daypass_pk_ed25519 {
            self = .ed25519
            return
        }
        let hash: HashAlgorithm
        switch digest {
        case daypass_md_sha256: hash = .sha256
        case daypass_md_sha384: hash = .sha384
        case daypass_md_sha512: hash = .sha512
        default: return nil
        }
        switch key {
        case daypass_pk_rsa: self = .rsaPKCS1(hash)
        case daypass_pk_pss: self = .rsaPSS(hash)
        case daypass_pk_ec: self = .ecdsa(hash)
        default: return nil
        }
    }
}

/// Why bytes are not accepted as a certificate.
package enum CertificateFailure: Error, Sendable, Equatable, CustomStringConvertible {
    case length
    case malformed(OpenSSLError)
    /// Something follows it, or it is spelt in another way than the one of DER.
    case encoding
    case version
    case tooManyExtensions, tooManyNames
    case repeatedExtension
    case malformedExtension
    case time
    case key(KeyFailure)

    package var description: String {
        switch self {
        case .length: "it is longer than \(Certificate.maximumLength) bytes"
        case .malformed(let error): "it is no certificate: \(error)"
        case .encoding: "it is not in distinguished encoding, or something follows it"
        case .version: "it is not of version 3"
        case .tooManyExtensions: "it has more than \(Certificate.maximumExtensions) extensions"
        case .tooManyNames: "it has more than \(Certificate.maximumNames) alternative names"
        case .repeatedExtension: "it has an extension twice"
        case .malformedExtension: "an extension in it is malformed"
        case .time: "its validity is malformed"
        case .key(let failure): "its key is \(failure)"
        }
    }
}
