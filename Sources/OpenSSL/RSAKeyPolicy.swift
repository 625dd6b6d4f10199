/// Which RSA keys are accepted, whatever they came from.
enum RSAKeyPolicy {
    static let sizes = 2048...8192

    /// - Parameters: big-endian bytes; `exponent` in exactly 8.
    static func check(modulus: [UInt8], exponent: [UInt8]) throws(KeyFailure) {
        let value = exponent.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard value >= 65537, value % 2 == 1 else { throw .rsaExponent }
        guard let last = modulus.last, last % 2 == 1 else { throw .rsaModulusEven }
        guard !hasROCAFingerprint(modulus) else { throw .rsaROCA }
    }

    /// Whether the modulus is a power of 65537 modulo each of the small primes, which the moduli of the broken
    /// generator are (Nemec et al., CCS 2017, §3) and others, with these primes, in fewer than one of 2²⁷ cases.
    static func hasROCAFingerprint(_ modulus: [UInt8]) -> Bool {
        fingerprintPrimes.allSatisfy { prime in
            let remainder = modulus.reduce(UInt32(0)) { ($0 << 8 | UInt32($1)) % prime }
            var power: UInt32 = 1
            repeat {
                if power == remainder { return true }
                power = power * 65537 % prime
            } while power != 1
            return false
        }
    }

    private static let fingerprintPrimes: [UInt32] = [
        11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157,
    ]
}
