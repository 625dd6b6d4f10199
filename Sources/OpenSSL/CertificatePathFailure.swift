import COpenSSL

/// Why there is no path from a certificate to a root.
package struct CertificatePathFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Reason: Sendable, Equatable {
        /// Nobody whom we trust signed it, nor the authorities that came with it.
        case untrusted
        case expired, notYetValid
        case signature
        case signatureAlgorithm
        case tooLong
        case notAnAuthority
        case pathLength
        case purpose
        case nameConstraints
        case criticalExtension
        case policy
        case weakKey
        /// The clock shows a time that OpenSSL cannot be told.
        case clock
        case resources
        /// In OpenSSL's words, which name nothing of the certificate.
        case other(String)
    }

    package let reason: Reason
    /// Of the certificate that it is about: 0 is the leaf.
    package let position: Int?

    package init(_ reason: Reason, at position: Int? = nil) {
        self.reason = reason
        self.position = position
    }

    package var description: String {
        switch position {
        case nil: "the path \(reason.words)"
        case 0: "the path \(reason.words), at the leaf"
        case let position?: "the path \(reason.words), at authority \(position)"
        }
    }
}

extension CertificatePathFailure.Reason {
    /// - Parameter code: an `X509_V_ERR_…`.
    init(_ code: Int32) {
        switch code {
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
            X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
            X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_CERT_UNTRUSTED:
            self = .untrusted
        case X509_V_ERR_CERT_HAS_EXPIRED: self = .expired
        case X509_V_ERR_CERT_NOT_YET_VALID: self = .notYetValid
        case X509_V_ERR_CERT_SIGNATURE_FAILURE: self = .signature
        case X509_V_ERR_CA_MD_TOO_WEAK: self = .signatureAlgorithm
        case X509_V_ERR_CERT_CHAIN_TOO_LONG: self = .tooLong
        case X509_V_ERR_INVALID_CA, X509_V_ERR_KEYUSAGE_NO_CERTSIGN: self = .notAnAuthority
        case X509_V_ERR_PATH_LENGTH_EXCEEDED: self = .pathLength
        case X509_V_ERR_INVALID_PURPOSE: self = .purpose
        case X509_V_ERR_PERMITTED_VIOLATION, X509_V_ERR_EXCLUDED_VIOLATION, X509_V_ERR_SUBTREE_MINMAX,
            X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE, X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX,
            X509_V_ERR_UNSUPPORTED_NAME_SYNTAX:
            self = .nameConstraints
        case X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION: self = .criticalExtension
        case X509_V_ERR_INVALID_POLICY_EXTENSION, X509_V_ERR_NO_EXPLICIT_POLICY: self = .policy
        case X509_V_ERR_EE_KEY_TOO_SMALL, X509_V_ERR_CA_KEY_TOO_SMALL, X509_V_ERR_EC_KEY_EXPLICIT_PARAMS:
            self = .weakKey
        case X509_V_ERR_OUT_OF_MEM: self = .resources
        default:
            self = .other(unsafe X509_verify_cert_error_string(Int(code)).map { unsafe String(cString: $0) } ?? "?")
        }
    }

    fileprivate var words: String {
        switch self {
        case .untrusted: "ends at no root of the trust domain"
        case .expired: "has expired"
        case .notYetValid: "is not valid yet"
        case .signature: "has a signature that is not valid"
        case .signatureAlgorithm: "has a signature of an algorithm that is not accepted"
        case .tooLong: "is longer than \(CertificatePath.maximumLength) certificates"
        case .notAnAuthority: "has an issuer that is no certificate authority"
        case .pathLength: "is longer than an authority of it allows"
        case .purpose: "has a certificate that is not for this purpose"
        case .nameConstraints: "has a name that an authority of it may not give"
        case .criticalExtension: "has a critical extension that is not known"
        case .policy: "does not meet a certificate policy that it demands"
        case .weakKey: "has a key that is not accepted"
        case .clock: "cannot be checked: the clock is out of range"
        case .resources: "cannot be checked: out of memory"
        case .other(let words): "is not valid: \(words)"
        }
    }
}
