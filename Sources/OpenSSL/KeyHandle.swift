import COpenSSL

/// An `EVP_PKEY` with one owner. Keys are only read after they are built, which OpenSSL allows from any thread.
@safe final class KeyHandle: @unchecked Sendable {
    /// In bytes, of PEM text.
    static let maximumTextLength = 1 << 20

    let pointer: OpaquePointer
    let type: KeyType

    /// Takes ownership of `pointer`, also when it throws, and leaves the thread's error queue empty.
    /// - Throws: when there is no key, or it is none that we use: RSA of 2048 to 8192 bits with an odd exponent of
    ///   65537 or more in 64 bits, a point other than infinity of a named NIST curve, Ed25519 but for its small orders.
    init(owning pointer: OpaquePointer?, _ operation: StaticString) throws(KeyFailure) {
        // What OpenSSL noted on the way, to a key or to a refusal of ours, concerns no later call.
        defer { OpenSSLError.clear() }
        guard let pointer = unsafe pointer else { throw .openSSL(.drain(operation)) }
        do throws(KeyFailure) {
            type = try unsafe Self.type(of: pointer)
        } catch {
            unsafe EVP_PKEY_free(pointer)
            throw error
        }
        unsafe self.pointer = pointer
    }

    deinit {
        unsafe EVP_PKEY_free(pointer)
    }

    private static func type(of key: OpaquePointer) throws(KeyFailure) -> KeyType {
        if unsafe EVP_PKEY_is_a(key, "RSA") == 1 {
            let bits = unsafe Int(EVP_PKEY_get_bits(key))
            guard RSAKeyPolicy.sizes.contains(bits) else { throw .rsaSize(bits: bits) }
            guard let modulus = unsafe number(.modulus, of: key, length: (bits + 7) / 8) else {
                throw .openSSL(.drain("reading an RSA key"))
            }
            guard let exponent = unsafe number(.exponent, of: key, length: 8) else { throw .rsaExponent }
            try RSAKeyPolicy.check(modulus: modulus, exponent: exponent)
            return .rsa(bits: bits)
        }
        if unsafe EVP_PKEY_is_a(key, "EC") == 1 {
            let curve = unsafe daypass_key_curve(key)
            guard let curve = EllipticCurve.allCases.first(where: { $0.nid == curve }) else { throw .unsupported }
            // An encoded key may be the point at infinity, under which anyone can sign.
            guard unsafe daypass_check_key(key, 0) == 1 else { throw .point }
            return .ellipticCurve(curve)
        }
        guard unsafe EVP_PKEY_is_a(key, "ED25519") == 1 else { throw .unsupported }
        guard let bytes = unsafe rawPublicKey(of: key, length: 32) else {
            throw .openSSL(.drain("reading an Ed25519 key"))
        }
        guard !Ed25519KeyPolicy.hasSmallOrder(bytes) else { throw .point }
        return .ed25519
    }

    /// The public key in the encoding of RFC 8032 §5.1.5, nil unless it has that length.
    func rawPublicKey(length: Int) -> [UInt8]? {
        unsafe Self.rawPublicKey(of: pointer, length: length)
    }

    private static func rawPublicKey(of key: OpaquePointer, length: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: length)
        var count = length
        let done = unsafe bytes.withUnsafeMutableBufferPointer {
            unsafe EVP_PKEY_get_raw_public_key(key, $0.baseAddress, &count)
        }
        return done == 1 && count == length ? bytes : nil
    }

    /// The indices of `daypass_key_number`.
    enum Number: Int32 {
        case modulus = 0, exponent, x, y
    }

    func number(_ which: Number, length: Int) -> [UInt8]? {
        unsafe Self.number(which, of: pointer, length: length)
    }

    private static func number(_ which: Number, of key: OpaquePointer, length: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: length)
        let done = unsafe bytes.withUnsafeMutableBufferPointer {
            unsafe daypass_key_number(key, which.rawValue, $0.baseAddress, Int32(length))
        }
        return done == 1 ? bytes : nil
    }
}

/// Why a key cannot be used.
package enum KeyFailure: Error, Sendable, Equatable, CustomStringConvertible {
    case rsaSize(bits: Int)
    case rsaExponent
    case rsaModulusEven
    /// The modulus has the fingerprint of the generator of CVE-2017-15361 and can be factored.
    case rsaROCA
    /// Not a point that a key pair has: off the curve, at infinity, or of a small order.
    case point
    /// Neither RSA, a named NIST curve, nor Ed25519; or a curve given by explicit parameters.
    case unsupported
    /// The wrong number of bytes for a key of this type.
    case length
    case openSSL(OpenSSLError)

    package var description: String {
        switch self {
        case .rsaSize(let bits): "an RSA key of \(bits) bits; 2048 to 8192 are accepted"
        case .rsaExponent: "an RSA exponent that is even, below 65537 or longer than 64 bits"
        case .rsaModulusEven: "an RSA modulus that is even"
        case .rsaROCA: "an RSA key from a broken generator (ROCA, CVE-2017-15361)"
        case .point: "a point of a curve that no key pair has"
        case .unsupported: "a key that is neither RSA, nor on P-256, P-384 or P-521 by name, nor Ed25519"
        case .length: "key material of the wrong length"
        case .openSSL(let error): error.description
        }
    }
}
