package import OpenSSL

/// A signature algorithm that may verify a token (RFC 7518 §3.1, RFC 8037 §3.1). `none` and the HMAC family have no
/// case here, so that no configuration and no header can name them.
package enum JWSAlgorithm: String, Sendable, Hashable, CaseIterable {
    case RS256, RS384, RS512
    case PS256, PS384, PS512
    case ES256, ES384, ES512
    case EdDSA

    /// - Returns: nil for every other name, other spellings of case included (RFC 7515 §4.1.1).
    package init?(_ name: ExactString) {
        guard let algorithm = Self.allCases.first(where: { ExactString($0.rawValue) == name }) else { return nil }
        self = algorithm
    }

    package var scheme: SignatureScheme {
        switch self {
        case .RS256: .rsaPKCS1(.sha256)
        case .RS384: .rsaPKCS1(.sha384)
        case .RS512: .rsaPKCS1(.sha512)
        case .PS256: .rsaPSS(.sha256)
        case .PS384: .rsaPSS(.sha384)
        case .PS512: .rsaPSS(.sha512)
        case .ES256: .ecdsa(.p256, .sha256)
        case .ES384: .ecdsa(.p384, .sha384)
        case .ES512: .ecdsa(.p521, .sha512)
        case .EdDSA: .ed25519
        }
    }
}
