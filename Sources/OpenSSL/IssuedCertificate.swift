import COpenSSL
package import FoundationEssentials

/// A certificate that this process made itself, and its private key, on P-256 and signed with ECDSA and SHA-256.
///
/// For `daypassd demo` alone, which has to bring its own trust domain: the broker signs tokens, never certificates.
package struct IssuedCertificate: Sendable {
    /// What a certificate is for.
    package enum Role: Sendable {
        /// Signs others, and is its own issuer or has one above it.
        case authority
        /// Stands for a server or a workload: client and server authentication.
        case endEntity
    }

    /// One of the subject's alternative names (RFC 5280 §4.2.1.6).
    package enum Name: Sendable {
        case uri(String)
        case dns(String)
        /// 4 or 16 bytes.
        case ip([UInt8])
    }

    package let certificate: Certificate
    package let key: PrivateKey

    /// - Parameters:
    ///   - commonName: the only part of its subject, 1 to 64 bytes.
    ///   - issuer: who signs it; nil for a root.
    ///   - validity: in whole seconds; the last one is not in it.
    /// - Throws: `OpenSSLError`, `KeyFailure`, or `CertificateFailure` for what OpenSSL made and we would not accept.
    package init(
        _ role: Role, _ commonName: String, names: [Name], signedBy issuer: IssuedCertificate?, validity: Range<Date>
    ) throws {
        let key = try PrivateKey.generate(.ellipticCurve(.p256))
        OpenSSLError.clear()
        let pointer = unsafe daypass_certificate_new(
            commonName, issuer?.certificate.handle.pointer, key.handle.pointer,
            Int64(validity.lowerBound.timeIntervalSince1970), Int64(validity.upperBound.timeIntervalSince1970))
        guard let pointer = unsafe pointer else { throw OpenSSLError.drain("making a certificate") }
        defer { unsafe X509_free(pointer) }

        for (kind, value) in Self.extensions(role, isRoot: issuer == nil) {
            let done = unsafe daypass_certificate_extend(pointer, issuer?.certificate.handle.pointer, kind, value)
            guard done == 1 else { throw OpenSSLError.drain("adding an extension to a certificate") }
        }
        if !names.isEmpty { try unsafe Self.add(names, to: pointer) }

        let signer = issuer?.key ?? key
        guard unsafe X509_sign(pointer, signer.handle.pointer, EVP_sha256()) > 0 else {
            throw OpenSSLError.drain("signing a certificate")
        }
        certificate = try Certificate(der: unsafe CertificateHandle.encoding(of: pointer))
        self.key = key
    }

    /// Kinds and values as in x509v3_config(5), the names left out.
    private static func extensions(_ role: Role, isRoot: Bool) -> [(kind: Int32, value: String)] {
        let use: [(Int32, String)] =
            switch role {
            case .authority:
                [
                    (daypass_basic_constraints_nid, "critical,CA:TRUE"),
                    (daypass_key_usage_nid, "critical,keyCertSign,cRLSign"),
                ]
            case .endEntity:
                [
                    (daypass_basic_constraints_nid, "critical,CA:FALSE"),
                    (daypass_key_usage_nid, "critical,digitalSignature"),
                    (daypass_extended_key_usage_nid, "serverAuth,clientAuth"),
                ]
            }
        let keys = [(daypass_subject_key_nid, "hash")]
        return use + keys + (isRoot ? [] : [(daypass_authority_key_nid, "keyid:always")])
    }

    private static func add(_ names: [Name], to certificate: OpaquePointer) throws(OpenSSLError) {
        guard let list = unsafe daypass_names_new() else { throw .drain("naming a certificate's subject") }
        defer { unsafe daypass_names_free(list) }
        for name in names {
            let (kind, bytes): (Int32, [UInt8]) =
                switch name {
                case .uri(let text): (daypass_name_uri, Array(text.utf8))
                case .dns(let text): (daypass_name_dns, Array(text.utf8))
                case .ip(let address): (daypass_name_ip, address)
                }
            let done = unsafe bytes.withUnsafeBufferPointer {
                unsafe daypass_names_push(list, kind, $0.baseAddress, Int32($0.count))
            }
            guard done == 1 else { throw .drain("naming a certificate's subject") }
        }
        guard unsafe daypass_certificate_name(certificate, list) == 1 else {
            throw .drain("naming a certificate's subject")
        }
    }
}

extension IssuedCertificate {
    /// The certificate as PEM (RFC 7468 §5).
    package var certificatePEM: String { Self.pem("CERTIFICATE", certificate.der) }

    /// The private key as PEM, PKCS #8, not encrypted (RFC 7468 §10).
    package var keyPEM: String {
        get throws(OpenSSLError) {
            try key.pkcs8().withSpan { span in
                Self.pem("PRIVATE KEY", unsafe span.withUnsafeBufferPointer { unsafe Array($0) })
            }
        }
    }

    private static func pem(_ label: String, _ der: [UInt8]) -> String {
        let lines = Data(der).base64EncodedString(options: [.lineLength64Characters, .endLineWithLineFeed])
        return "-----BEGIN \(label)-----\n\(lines)\n-----END \(label)-----\n"
    }
}
