import COpenSSL

/// A private key. Neither it nor what it holds can be printed; `pkcs8()` is the only way out, for sealing.
@safe package final class PrivateKey: Sendable {
    package let publicKey: PublicKey
    package var type: KeyType { handle.type }

    let handle: KeyHandle
    private let contexts = OperationContexts(.signing)

    private init(_ handle: KeyHandle) {
        self.handle = handle
        publicKey = PublicKey(of: handle)
    }

    /// A new key from OpenSSL's generator.
    package static func generate(_ type: KeyType) throws(KeyFailure) -> PrivateKey {
        OpenSSLError.clear()
        let key =
            switch type {
            case .rsa(let bits): unsafe daypass_generate_rsa(bits)
            case .ellipticCurve(let curve): unsafe daypass_generate_ec(curve.nid)
            case .ed25519: unsafe daypass_generate_ed25519()
            }
        return PrivateKey(try unsafe KeyHandle(owning: key, "generating a key"))
    }

    /// - Parameter der: a PrivateKeyInfo of PKCS #8 (RFC 5208), which is never encrypted, and nothing after it.
    package convenience init(pkcs8 der: Span<UInt8>) throws(KeyFailure) {
        OpenSSLError.clear()
        let (key, rest): (OpaquePointer?, Int) = unsafe der.withUnsafeBufferPointer { input in
            var cursor = input.baseAddress
            let key = unsafe daypass_read_pkcs8(&cursor, input.count)
            let used = unsafe cursor.map { unsafe $0 - input.baseAddress! } ?? 0
            return unsafe (key, input.count - used)
        }
        let handle = try unsafe KeyHandle(owning: key, "reading a DER private key")
        guard rest == 0 else { throw .length }
        self.init(handle)
    }

    /// - Parameter pem: the first private key block of the text, which has at most 1 MiB; not encrypted.
    package convenience init(pem: Span<UInt8>) throws(KeyFailure) {
        guard pem.count <= KeyHandle.maximumTextLength else { throw .length }
        OpenSSLError.clear()
        let key = unsafe pem.withUnsafeBufferPointer {
            unsafe daypass_read_pem($0.baseAddress, Int32($0.count), 1)
        }
        self.init(try unsafe KeyHandle(owning: key, "reading a PEM private key"))
    }

    /// - Parameters: big-endian, each of the curve's full length (RFC 7518 §6.2).
    package convenience init(
        curve: EllipticCurve, x: [UInt8], y: [UInt8], scalar: Span<UInt8>
    ) throws(KeyFailure) {
        let length = curve.coordinateLength
        guard x.count == length, y.count == length, scalar.count == length else { throw .length }
        OpenSSLError.clear()
        let point = [0x04] + x + y
        let key = unsafe point.withUnsafeBufferPointer { point in
            unsafe scalar.withUnsafeBufferPointer {
                unsafe daypass_ec_key(curve.nid, point.baseAddress, point.count, $0.baseAddress, Int32($0.count))
            }
        }
        let handle = try unsafe KeyHandle(owning: key, "building an elliptic curve key")
        guard handle.isPair else { throw .openSSL(.drain("checking a key pair")) }
        self.init(handle)
    }

    /// - Parameter ed25519: the 32-byte seed of RFC 8032 §5.1.5.
    package convenience init(ed25519 seed: Span<UInt8>) throws(KeyFailure) {
        guard seed.count == 32 else { throw .length }
        OpenSSLError.clear()
        let key = unsafe seed.withUnsafeBufferPointer {
            unsafe EVP_PKEY_new_raw_private_key(daypass_ed25519, nil, $0.baseAddress, $0.count)
        }
        self.init(try unsafe KeyHandle(owning: key, "building an Ed25519 key"))
    }

    /// The key as PKCS #8 DER.
    package func pkcs8() throws(OpenSSLError) -> SecretBytes {
        OpenSSLError.clear()
        guard let info = unsafe EVP_PKEY2PKCS8(handle.pointer) else { throw .drain("encoding a private key") }
        defer { unsafe PKCS8_PRIV_KEY_INFO_free(info) }
        var der: UnsafeMutablePointer<UInt8>?
        let length = unsafe i2d_PKCS8_PRIV_KEY_INFO(info, &der)
        guard length > 0, let der = unsafe der else { throw .drain("encoding a private key") }
        defer {
            unsafe OPENSSL_cleanse(der, Int(length))
            unsafe daypass_free(der)
        }
        return SecretBytes(copying: unsafe Span(_unsafeStart: der, count: Int(length)))
    }

    /// A signature over `message`, in the encoding of the scheme. Does not suspend.
    package func signature(over message: Span<UInt8>, scheme: SignatureScheme) throws(OpenSSLError) -> [UInt8] {
        precondition(scheme.fits(type), "the scheme does not fit the key")
        OpenSSLError.clear()
        guard let context = unsafe contexts.context(scheme, handle) else { throw .drain("signing") }
        defer { unsafe EVP_MD_CTX_free(context) }
        // No signature of an accepted key is longer: an RSA key has at most 8192 bits.
        var signature = [UInt8](repeating: 0, count: 1024)
        var count = signature.count
        let done = unsafe signature.withUnsafeMutableBufferPointer { output in
            unsafe message.withUnsafeBufferPointer {
                unsafe EVP_DigestSign(context, output.baseAddress, &count, $0.baseAddress, $0.count)
            }
        }
        guard done == 1 else { throw .drain("signing") }
        signature.removeSubrange(count...)
        guard case .ecdsa(let curve, _) = scheme else { return signature }
        return try Self.fixedLength(signature, half: curve.coordinateLength)
    }

    private static func fixedLength(_ der: [UInt8], half: Int) throws(OpenSSLError) -> [UInt8] {
        var raw = [UInt8](repeating: 0, count: 2 * half)
        let done = unsafe raw.withUnsafeMutableBufferPointer { raw in
            unsafe der.withUnsafeBufferPointer {
                unsafe daypass_ecdsa_raw($0.baseAddress, $0.count, raw.baseAddress, Int32(half))
            }
        }
        guard done == 1 else { throw .drain("encoding a signature") }
        return raw
    }
}

extension KeyHandle {
    /// Whether the private half is in its range and the public half belongs to it.
    fileprivate var isPair: Bool { unsafe daypass_check_key(pointer, 1) == 1 }
}
