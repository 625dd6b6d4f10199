import COpenSSL
import Synchronization

/// A public key that passed the checks of `KeyFailure`. Callable from any thread; nothing here suspends.
@safe package final class PublicKey: Sendable {
    package var type: KeyType { handle.type }

    private let handle: KeyHandle
    private let contexts = OperationContexts(.verifying)
    private let preparation = Mutex(Preparation.none)

    private enum Preparation {
        case none
        /// So many signatures more, and it is worth its while.
        case awaited(Int)
        case underWay
        case done(P256Table?)
    }

    /// After so many signatures: what they take more without multiples is about what making these takes.
    private static let preparedAfter = 256

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
        case .ecdsa(let curve, let hash):
            if curve == .p256, hash == .sha256, let table = table(),
                let isValid = table.isValidSignature(signature, digest: SHA256Digest(of: message))
            {
                return isValid
            }
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

    /// Says that many signatures are to be checked with this key. For one on P-256 multiples of it are made once there were
    /// 256, on another thread, and kept as long as the key: 150 KiB. Nothing happens for others, nor a second time.
    package func expectMany() {
        guard case .ellipticCurve(.p256) = type else { return }
        preparation.withLock { preparation in
            if case .none = preparation { preparation = .awaited(Self.preparedAfter) }
        }
    }

    /// Makes the multiples now: some 10 ms.
    /// - Returns: whether there are any.
    @discardableResult package func prepare() -> Bool {
        let table = P256Table(handle)
        preparation.withLock { $0 = .done(table) }
        return table != nil
    }

    /// Those that were made.
    var multiples: P256Table? {
        preparation.withLock { if case .done(let table) = $0 { table } else { nil } }
    }

    /// Whether they are, or are being made.
    var isPreparedOrUnderWay: Bool {
        preparation.withLock { preparation in
            switch preparation {
            case .none, .awaited: false
            case .underWay, .done: true
            }
        }
    }

    private func table() -> P256Table? {
        let (table, isWorthIt): (P256Table?, Bool) = preparation.withLock { preparation in
            switch preparation {
            case .none, .underWay: return (nil, false)
            case .done(let table): return (table, false)
            case .awaited(let count) where count > 1:
                preparation = .awaited(count - 1)
                return (nil, false)
            case .awaited:
                preparation = .underWay
                return (nil, true)
            }
        }
        if isWorthIt { Task.detached(priority: .background) { self.prepare() } }
        return table
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
