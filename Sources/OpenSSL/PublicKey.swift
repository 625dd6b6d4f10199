import COpenSSL

/// A public key that passed the checks of `KeyFailure`. Callable from any thread; nothing here suspends.
@safe package final class PublicKey: Sendable {
    package var type: KeyType { handle.type }

    private let handle: KeyHandle
    private let contexts = OperationContexts(.verifying)

    private init(_ handle: KeyHandle) {
        self.handle = handle
    }

    /// - Parameters: big-endian, in the fewest bytes (RFC 7518 §2), so that a key has one spelling.
    package convenience init(rsaModulus modulus: [UInt8], exponent: [UInt8]) throws(KeyFailure) {
        guard let first = modulus.first, first != 0, modulus.count <= RSAKeyPolicy.sizes.upperBound / 8 else {
            throw .length
        }
        guard let first = exponent.first, first != 0, exponent.count <= 8 else { throw .rsaExponent }
        OpenSSLError.clear()
        let key = unsafe modulus.withUnsafeBufferPointer { modulus in
            unsafe exponent.withUnsafeBufferPointer { exponent in
                unsafe daypass_rsa_public_key(
                    modulus.baseAddress, Int32(modulus.count), exponent.baseAddress, Int32(exponent.count))
            }
        }
        self.init(try unsafe KeyHandle(owning: key, "building an RSA key"))
    }

    /// - Parameters: big-endian, each exactly `curve.coordinateLength` bytes. The point has to be on the curve.
    package convenience init(curve: EllipticCurve, x: [UInt8], y: [UInt8]) throws(KeyFailure) {
        guard x.count == curve.coordinateLength, y.count == curve.coordinateLength else { throw .length }
        OpenSSLError.clear()
        let point = [0x04] + x + y
        let key = unsafe point.withUnsafeBufferPointer {
            unsafe daypass_ec_key(curve.nid, $0.baseAddress, $0.count, nil, 0)
        }
        self.init(try unsafe KeyHandle(owning: key, "building an elliptic curve key"))
    }

    /// - Parameter ed25519: the 32 bytes of RFC 8032 §5.1.5.
    package convenience init(ed25519 bytes: [UInt8]) throws(KeyFailure) {
        guard bytes.count == 32 else { throw .length }
        OpenSSLError.clear()
        let key = unsafe bytes.withUnsafeBufferPointer {
            unsafe EVP_PKEY_new_raw_public_key(daypass_ed25519, nil, $0.baseAddress, $0.count)
        }
        self.init(try unsafe KeyHandle(owning: key, "building an Ed25519 key"))
    }

    /// - Parameter der: a SubjectPublicKeyInfo (RFC 5280 §4.1) and nothing after it.
    package convenience init(der: [UInt8]) throws(KeyFailure) {
        OpenSSLError.clear()
        let (key, rest): (OpaquePointer?, Int) = unsafe der.withUnsafeBufferPointer { input in
            var cursor = input.baseAddress
            let key = unsafe d2i_PUBKEY(nil, &cursor, input.count)
            let used = unsafe cursor.map { unsafe $0 - input.baseAddress! } ?? 0
            return unsafe (key, input.count - used)
        }
        let handle = try unsafe KeyHandle(owning: key, "reading a DER public key")
        guard rest == 0 else { throw .length }
        self.init(handle)
    }

    /// - Parameter pem: the first `PUBLIC KEY` block of the text, which has at most 1 MiB.
    package convenience init(pem: [UInt8]) throws(KeyFailure) {
        guard pem.count <= KeyHandle.maximumTextLength else { throw .length }
        OpenSSLError.clear()
        let key = unsafe pem.withUnsafeBufferPointer {
            unsafe daypass_read_pem($0.baseAddress, Int32($0.count), 0)
        }
        self.init(try unsafe KeyHandle(owning: key, "reading a PEM public key"))
    }

    convenience init(of handle: KeyHandle) {
        self.init(handle)
    }

    /// Whether `signature` is one over `message` by the holder of this key. False for a scheme that does not fit the
    /// key and for a signature that has not exactly the scheme's length. No error is worth telling apart here.
    package func isValidSignature(
        _ signature: Span<UInt8>, over message: Span<UInt8>, scheme: SignatureScheme
    ) -> Bool {
        guard scheme.fits(type) else { return false }
        OpenSSLError.clear()
        defer { OpenSSLError.clear() }
        switch scheme {
        case .ecdsa(let curve, _):
            guard signature.count == 2 * curve.coordinateLength else { return false }
            return unsafe signature.withUnsafeBufferPointer { raw in
                var der: UnsafeMutablePointer<UInt8>?
                let length = unsafe daypass_ecdsa_der(raw.baseAddress, Int32(curve.coordinateLength), &der)
                defer { unsafe daypass_free(der) }
                guard length > 0, let der = unsafe der else { return false }
                return unsafe verify(
                    UnsafeBufferPointer(start: der, count: Int(length)), over: message, scheme: scheme)
            }
        case .rsaPKCS1, .rsaPSS:
            guard case .rsa(let bits) = type, signature.count == (bits + 7) / 8 else { return false }
        case .ed25519:
            guard signature.count == 64 else { return false }
        }
        return unsafe signature.withUnsafeBufferPointer { unsafe verify($0, over: message, scheme: scheme) }
    }

    private func verify(
        _ signature: UnsafeBufferPointer<UInt8>, over message: Span<UInt8>, scheme: SignatureScheme
    ) -> Bool {
        guard let context = unsafe contexts.context(scheme, handle) else { return false }
        defer { unsafe EVP_MD_CTX_free(context) }
        return unsafe message.withUnsafeBufferPointer {
            unsafe EVP_DigestVerify(
                context, signature.baseAddress, signature.count, $0.baseAddress, $0.count) == 1
        }
    }
}

extension PublicKey {
    /// The modulus and exponent of an RSA key, big-endian, without leading zeros.
    package var rsaNumbers: (modulus: [UInt8], exponent: [UInt8])? {
        guard case .rsa(let bits) = type, let modulus = handle.number(.modulus, length: (bits + 7) / 8),
            let exponent = handle.number(.exponent, length: 8)
        else { return nil }
        return (modulus, [UInt8](exponent.drop { $0 == 0 }))
    }

    /// The coordinates of an elliptic curve key, big-endian, each of the curve's full length.
    package var coordinates: (x: [UInt8], y: [UInt8])? {
        guard case .ellipticCurve(let curve) = type,
            let x = handle.number(.x, length: curve.coordinateLength),
            let y = handle.number(.y, length: curve.coordinateLength)
        else { return nil }
        return (x, y)
    }

    /// The 32 bytes of an Ed25519 key.
    package var ed25519Bytes: [UInt8]? {
        guard case .ed25519 = type else { return nil }
        return handle.rawPublicKey(length: 32)
    }
}

extension EllipticCurve {
    var nid: Int32 {
        switch self {
        case .p256: daypass_p256
        case .p384: daypass_p384
        case .p521: daypass_p521
        }
    }
}
