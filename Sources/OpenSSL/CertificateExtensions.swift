import COpenSSL

/// The extensions of a certificate that decide what it may be used for (RFC 5280 §4.2.1). OpenSSL looks at the others,
/// and refuses a path with a critical one that it does not know.
package struct CertificateExtensions: Sendable, Hashable {
    /// `cA` of the basic constraints; false where they are absent.
    package let isAuthority: Bool
    /// Nil where the extension is absent.
    package let keyUsage: KeyUsage?
    package let keyUsageIsCritical: Bool
    /// Nil where the extension is absent.
    package let extendedKeyUsage: ExtendedKeyUsage?
    /// Every uniformResourceIdentifier of the subject's alternative names, byte for byte: whatever the bytes are, NUL and
    /// commas among them, and no name of another kind.
    package let uris: [[UInt8]]
    package let alternativeNamesAreCritical: Bool

    init(_ certificate: CertificateHandle) throws(CertificateFailure) {
        try Self.checkRepetition(certificate)
        var isAuthority: Int32 = 0
        let constraints = unsafe daypass_basic_constraints(certificate.pointer, &isAuthority)
        self.isAuthority = try Self.isCritical(constraints) != nil && isAuthority != 0

        var bits: Int32 = 0
        let usage = try unsafe Self.isCritical(daypass_key_usage(certificate.pointer, &bits))
        keyUsage = usage.map { _ in KeyUsage(rawValue: Int(bits)) }
        keyUsageIsCritical = usage ?? false

        var (client, server): (Int32, Int32) = (0, 0)
        let extended = try unsafe Self.isCritical(daypass_extended_key_usage(certificate.pointer, &client, &server))
        extendedKeyUsage = extended.map { _ in
            ExtendedKeyUsage(clientAuthentication: client != 0, serverAuthentication: server != 0)
        }

        var names: OpaquePointer?
        let critical = unsafe daypass_alternative_names(certificate.pointer, &names)
        defer { unsafe daypass_names_free(names) }
        alternativeNamesAreCritical = try Self.isCritical(critical) ?? false
        uris = if let names = unsafe names { try unsafe Self.uris(in: names) } else { [] }
    }

    /// Of two extensions of one kind each reader could choose another (RFC 5280 §4.2 forbids them).
    private static func checkRepetition(_ certificate: CertificateHandle) throws(CertificateFailure) {
        let count = unsafe X509_get_ext_count(certificate.pointer)
        guard count <= Certificate.maximumExtensions else { throw .tooManyExtensions }
        for index in 0..<max(0, count) {
            let object = unsafe X509_EXTENSION_get_object(X509_get_ext(certificate.pointer, index))
            guard unsafe X509_get_ext_by_OBJ(certificate.pointer, object, index) < 0 else { throw .repeatedExtension }
        }
    }

    /// - Returns: nil where the extension is absent.
    private static func isCritical(_ state: Int32) throws(CertificateFailure) -> Bool? {
        guard state != daypass_extension_absent else { return nil }
        guard state >= 0 else { throw .malformedExtension }
        return state != 0
    }

    private static func uris(in names: OpaquePointer) throws(CertificateFailure) -> [[UInt8]] {
        let count = unsafe daypass_names_count(names)
        guard count <= Certificate.maximumNames else { throw .tooManyNames }
        var uris: [[UInt8]] = []
        for index in 0..<max(0, count) {
            var bytes: UnsafePointer<UInt8>?
            let length = unsafe daypass_uri(names, index, &bytes)
            guard length >= 0 else { continue }
            unsafe uris.append([UInt8](UnsafeBufferPointer(start: bytes, count: Int(length))))
        }
        return uris
    }
}

/// What a certificate's key may do (RFC 5280 §4.2.1.3).
package struct KeyUsage: OptionSet, Sendable, Hashable {
    package let rawValue: Int

    package init(rawValue: Int) {
        self.rawValue = rawValue
    }

    package static let digitalSignature = KeyUsage(rawValue: 1 << 0)
    package static let keyCertSign = KeyUsage(rawValue: 1 << 5)
    package static let crlSign = KeyUsage(rawValue: 1 << 6)
}

/// Which of the two purposes that matter here an extended key usage names, to the letter: `anyExtendedKeyUsage` is none
/// of them (RFC 5280 §4.2.1.12).
package struct ExtendedKeyUsage: Sendable, Hashable {
    package let clientAuthentication: Bool
    package let serverAuthentication: Bool
}
