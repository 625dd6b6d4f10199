import COpenSSL

/// An `EVP_PKEY` with one owner. Keys are only read after they are built, which OpenSSL allows from any thread.
@safe final class KeyHandle: @unchecked Sendable {
    let pointer: OpaquePointer
    let type: KeyType

    /// Takes ownership of `pointer`, also when it throws.
    /// - Throws: when there is no key, or it is none that we use: RSA of 2048 to 8192 bits with an odd exponent of
    ///   65537 or more, a named NIST curve, Ed25519.
    init(owning pointer: OpaquePointer?, _ operation: StaticString) throws(KeyFailure) {
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
            guard let modulus = unsafe number(.modulus, of: key, length: (bits + 7) / 8),
                let exponent = unsafe number(.exponent, of: key, length: 8)
            else { throw .openSSL(.drain("reading an RSA key")) }
            try RSAKeyPolicy.check(modulus: modulus, exponent: exponent)
            return .rsa(bits: bits)
        }
        if unsafe EVP_PKEY_is_a(key, "EC") == 1 {
            switch unsafe daypass_key_curve(key) {
            case daypass_p256: return .ellipticCurve(.p256)
            case daypass_p384: return .ellipticCurve(.p384)
            case daypass_p521: return .ellipticCurve(.p521)
            default: throw .unsupported
            }
        }
        guard unsafe EVP_PKEY_is_a(key, "ED25519") == 1 else { throw .unsupported }
        return .ed25519
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
    /// Neither RSA, a named NIST curve, nor Ed25519; or a curve given by explicit parameters.
    case unsupported
    /// The wrong number of bytes for a key of this type.
    case length
    case openSSL(OpenSSLError)

    package var description: String {
        switch self {
        case .rsaSize(let bits): "an RSA key of \(bits) bits; 2048 to 8192 are accepted"
        case .rsaExponent: "an RSA exponent that is even or below 65537"
        case .rsaModulusEven: "an RSA modulus that is even"
        case .rsaROCA: "an RSA key from a broken generator (ROCA, CVE-2017-15361)"
        case .unsupported: "a key that is neither RSA, nor on P-256, P-384 or P-521 by name, nor Ed25519"
        case .length: "key material of the wrong length"
        case .openSSL(let error): error.description
        }
    }
}
