import OpenSSL

// The expectation macros cannot hold a span, so tests hand over arrays.

extension PublicKey {
    func isValid(_ signature: [UInt8], over message: [UInt8], scheme: SignatureScheme) -> Bool {
        isValidSignature(signature.span, over: message.span, scheme: scheme)
    }

    /// What tells one public key from another.
    var material: [[UInt8]] {
        switch type {
        case .rsa: rsaNumbers.map { [$0.modulus, $0.exponent] } ?? []
        case .ellipticCurve: coordinates.map { [$0.x, $0.y] } ?? []
        case .ed25519: ed25519Bytes.map { [$0] } ?? []
        }
    }
}

extension PrivateKey {
    convenience init(pkcs8Bytes der: [UInt8]) throws(KeyFailure) {
        try self.init(pkcs8: der.span)
    }

    convenience init(pemText: String) throws(KeyFailure) {
        try self.init(pem: Array(pemText.utf8).span)
    }

    convenience init(curve: EllipticCurve, x: [UInt8], y: [UInt8], scalarBytes: [UInt8]) throws(KeyFailure) {
        try self.init(curve: curve, x: x, y: y, scalar: scalarBytes.span)
    }

    convenience init(ed25519Seed seed: [UInt8]) throws(KeyFailure) {
        try self.init(ed25519: seed.span)
    }

    func sign(_ message: [UInt8], _ scheme: SignatureScheme) throws(OpenSSLError) -> [UInt8] {
        try signature(over: message.span, scheme: scheme)
    }

    func pkcs8Bytes() throws(OpenSSLError) -> [UInt8] {
        try pkcs8().array
    }
}

extension SecretBytes {
    convenience init(_ bytes: [UInt8]) {
        self.init(copying: bytes.span)
    }

    var array: [UInt8] {
        withSpan { span in span.indices.map { span[$0] } }
    }
}

extension AESGCMKey {
    func sealed(_ plaintext: [UInt8], associatedData: [UInt8]) throws(OpenSSLError) -> [UInt8] {
        try seal(plaintext.span, associatedData: associatedData)
    }

    func opened(_ sealed: [UInt8], associatedData: [UInt8]) throws(OpenSSLError) -> [UInt8] {
        try open(sealed.span, associatedData: associatedData).array
    }
}
