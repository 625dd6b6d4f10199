import COpenSSL
import FoundationEssentials

/// An `X509` with one owner. Once its extensions are cached it is only read, which OpenSSL allows from any thread.
@safe final class CertificateHandle: @unchecked Sendable {
    let pointer: OpaquePointer

    init(der: [UInt8]) throws(CertificateFailure) {
        let certificate = unsafe der.withUnsafeBufferPointer { input in
            var cursor = input.baseAddress
            return unsafe d2i_X509(nil, &cursor, input.count)
        }
        guard let certificate = unsafe certificate else { throw .malformed(.drain("reading a certificate")) }
        unsafe pointer = certificate
        // One certificate should not have several fingerprints: what its signature does not cover has one spelling, too. (An
        // ECDSA signature itself has two, of which anybody can make one from the other.)
        guard unsafe Self.encoding(of: pointer) == der else { throw .encoding }
    }

    deinit {
        unsafe X509_free(pointer)
    }

    /// The DER of a certificate; empty where OpenSSL cannot write it.
    static func encoding(of certificate: OpaquePointer) -> [UInt8] {
        var bytes: UnsafeMutablePointer<UInt8>?
        let length = unsafe i2d_X509(certificate, &bytes)
        defer { unsafe daypass_free(bytes) }
        guard length > 0, let bytes = unsafe bytes else { return [] }
        return unsafe [UInt8](UnsafeBufferPointer(start: bytes, count: Int(length)))
    }

    /// Lets OpenSSL read the extensions that it decides by. Not to be put off until a path is looked for: from then on the
    /// certificate may be in use by several threads.
    func cacheExtensions() throws(CertificateFailure) {
        guard unsafe X509_check_purpose(pointer, -1, 0) == 1 else { throw .malformedExtension }
    }

    /// 1 to 3.
    var version: Int { unsafe X509_get_version(pointer) + 1 }

    var hasEmptySubject: Bool { unsafe X509_NAME_entry_count(X509_get_subject_name(pointer)) == 0 }

    func publicKey() throws(KeyFailure) -> PublicKey {
        PublicKey(of: try unsafe KeyHandle(owning: X509_get_pubkey(pointer), "reading a certificate's key"))
    }

    func validity() throws(CertificateFailure) -> (notBefore: Date, notAfter: Date) {
        var (start, end): (Int64, Int64) = (0, 0)
        guard unsafe daypass_unix_time(X509_get0_notBefore(pointer), &start) == 1,
            unsafe daypass_unix_time(X509_get0_notAfter(pointer), &end) == 1
        else { throw .time }
        return (Date(timeIntervalSince1970: Double(start)), Date(timeIntervalSince1970: Double(end)))
    }

    /// Whether both name the same subject, as names are compared (RFC 5280 §7.1).
    func hasSubject(of other: CertificateHandle) -> Bool {
        unsafe X509_NAME_cmp(X509_get_subject_name(pointer), X509_get_subject_name(other.pointer)) == 0
    }
}
