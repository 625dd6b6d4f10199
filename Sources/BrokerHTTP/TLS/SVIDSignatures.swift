import NIOSSL

extension SignatureAlgorithm {
    /// Of a peer's certificates and of the handshake itself, whose certificate is an X.509-SVID. BoringSSL's own list lacks
    /// Ed25519 and P-521.
    static let ofSVIDs: [SignatureAlgorithm] = [
        .ecdsaSecp256R1Sha256, .ed25519, .ecdsaSecp384R1Sha384, .ecdsaSecp521R1Sha512,
        .rsaPssRsaeSha256, .rsaPssRsaeSha384, .rsaPssRsaeSha512,
        .rsaPkcs1Sha256, .rsaPkcs1Sha384, .rsaPkcs1Sha512,
    ]
}
