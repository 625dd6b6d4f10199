/// How a signature is made: key type, padding and hash together, so that no part is chosen by a message.
package enum SignatureScheme: Sendable, Hashable {
    /// RSASSA-PKCS1-v1_5 (RFC 8017 §8.2).
    case rsaPKCS1(HashAlgorithm)
    /// RSASSA-PSS (RFC 8017 §8.1), MGF1 with the same hash, salt as long as the digest (RFC 7518 §3.5).
    case rsaPSS(HashAlgorithm)
    /// ECDSA, signature as fixed-length `r ‖ s` (RFC 7518 §3.4).
    case ecdsa(EllipticCurve, HashAlgorithm)
    /// EdDSA over edwards25519 (RFC 8032).
    case ed25519

    var hash: HashAlgorithm? {
        switch self {
        case .rsaPKCS1(let hash), .rsaPSS(let hash), .ecdsa(_, let hash): hash
        case .ed25519: nil
        }
    }

    /// Whether a key of this type can make or check such a signature.
    package func fits(_ type: KeyType) -> Bool {
        switch (self, type) {
        case (.rsaPKCS1, .rsa), (.rsaPSS, .rsa), (.ed25519, .ed25519): true
        case (.ecdsa(let curve, _), .ellipticCurve(let other)): curve == other
        default: false
        }
    }
}

/// A NIST curve, by name; curves given by explicit parameters are never accepted.
package enum EllipticCurve: Sendable, Hashable, CaseIterable {
    case p256, p384, p521

    /// The length of a coordinate, of `r` and of `s`, in bytes.
    package var coordinateLength: Int {
        switch self {
        case .p256: 32
        case .p384: 48
        case .p521: 66
        }
    }
}

/// What kind of key it is, as far as choosing a scheme needs it.
package enum KeyType: Sendable, Hashable {
    case rsa(bits: Int)
    case ellipticCurve(EllipticCurve)
    case ed25519
}
