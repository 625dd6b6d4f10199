import OpenSSL
import Testing
import VectorFiles

/// Wycheproof's signature files, each read whole: every vector is checked or counted with the reason why it cannot be.
@Suite struct WycheproofTests {
    struct File: Sendable, CustomTestStringConvertible {
        let name: String
        let scheme: SignatureScheme
        let valid: Int
        let refused: Int
        /// Vectors under a key that is refused: RSA with e = 3.
        var weakKey = 0

        var testDescription: String { name }
    }

    static let files = [
        File(name: "ecdsa_secp256r1_sha256_p1363", scheme: .ecdsa(.p256, .sha256), valid: 173, refused: 89),
        File(name: "ecdsa_secp384r1_sha384_p1363", scheme: .ecdsa(.p384, .sha384), valid: 193, refused: 87),
        File(name: "ecdsa_secp521r1_sha512_p1363", scheme: .ecdsa(.p521, .sha512), valid: 231, refused: 87),
        File(name: "ed25519", scheme: .ed25519, valid: 88, refused: 63),
        File(name: "rsa_pss_2048_sha256_mgf1_32", scheme: .rsaPSS(.sha256), valid: 63, refused: 45),
        File(name: "rsa_pss_2048_sha384_mgf1_48", scheme: .rsaPSS(.sha384), valid: 95, refused: 46),
        File(name: "rsa_pss_3072_sha256_mgf1_32", scheme: .rsaPSS(.sha256), valid: 63, refused: 45),
        File(name: "rsa_pss_4096_sha256_mgf1_32", scheme: .rsaPSS(.sha256), valid: 63, refused: 45),
        File(name: "rsa_pss_4096_sha384_mgf1_48", scheme: .rsaPSS(.sha384), valid: 95, refused: 46),
        File(name: "rsa_pss_4096_sha512_mgf1_64", scheme: .rsaPSS(.sha512), valid: 132, refused: 47),
        // The one "acceptable" vector of each file, a DigestInfo without NULL, is among the refused.
        File(name: "rsa_signature_2048_sha256", scheme: .rsaPKCS1(.sha256), valid: 7, refused: 250, weakKey: 2),
        File(name: "rsa_signature_2048_sha384", scheme: .rsaPKCS1(.sha384), valid: 7, refused: 251),
        File(name: "rsa_signature_2048_sha512", scheme: .rsaPKCS1(.sha512), valid: 7, refused: 251, weakKey: 1),
        File(name: "rsa_signature_3072_sha256", scheme: .rsaPKCS1(.sha256), valid: 7, refused: 251, weakKey: 1),
        File(name: "rsa_signature_3072_sha384", scheme: .rsaPKCS1(.sha384), valid: 7, refused: 252),
        File(name: "rsa_signature_3072_sha512", scheme: .rsaPKCS1(.sha512), valid: 7, refused: 252, weakKey: 1),
        File(name: "rsa_signature_4096_sha256", scheme: .rsaPKCS1(.sha256), valid: 7, refused: 251),
        File(name: "rsa_signature_4096_sha384", scheme: .rsaPKCS1(.sha384), valid: 7, refused: 252),
        File(name: "rsa_signature_4096_sha512", scheme: .rsaPKCS1(.sha512), valid: 7, refused: 252),
    ]

    @Test(arguments: files) func `every vector of a scheme that we have gets the answer it expects`(
        _ file: File
    ) throws {
        let vectors = try SignatureVectors(file: file.name)
        var (valid, refused, weakKey) = (0, 0, 0)
        for group in vectors.testGroups {
            let der = [UInt8](hexadecimal: group.publicKeyDer)
            let key: PublicKey
            do throws(KeyFailure) {
                key = try PublicKey(der: der)
            } catch {
                #expect(error == .rsaExponent)
                weakKey += group.tests.count
                continue
            }
            #expect(try PublicKey(pem: Array(group.publicKeyPem.utf8)).material == key.material)
            let prepared = file.scheme == .ecdsa(.p256, .sha256) ? try PublicKey(der: der) : nil
            #expect(prepared?.prepare() != false)
            for vector in group.tests {
                let isValid = key.isValid(vector.signature, over: vector.message, scheme: file.scheme)
                #expect(isValid == vector.isValid, "\(vector.tcId): \(vector.comment) \(vector.flags)")
                if let prepared {
                    let again = prepared.isValid(vector.signature, over: vector.message, scheme: file.scheme)
                    #expect(again == vector.isValid, "\(vector.tcId): \(vector.comment), with multiples of the key")
                }
                if isValid { valid += 1 } else { refused += 1 }
            }
        }
        #expect(valid == file.valid)
        #expect(refused == file.refused)
        #expect(weakKey == file.weakKey)
        #expect(valid + refused + weakKey == vectors.numberOfTests)
    }

    @Test func `no key on secp256k1 can be made, so all 252 vectors are refused`() throws {
        let vectors = try SignatureVectors(file: "ecdsa_secp256k1_sha256_p1363")
        var refused = 0
        for group in vectors.testGroups {
            #expect(throws: KeyFailure.unsupported) {
                try PublicKey(der: [UInt8](hexadecimal: group.publicKeyDer))
            }
            #expect(throws: KeyFailure.unsupported) { try PublicKey(pem: Array(group.publicKeyPem.utf8)) }
            refused += group.tests.count
        }
        #expect(refused == 252)
        #expect(vectors.numberOfTests == 252)
    }

    @Test func `of the PSS parameters only those of RFC 7518 verify, and the other 147 under no scheme`() throws {
        let vectors = try SignatureVectors(file: "rsa_pss_misc")
        var (ours, others) = (0, 0)
        for group in vectors.testGroups {
            let key = try PublicKey(der: [UInt8](hexadecimal: group.publicKeyDer))
            let own: SignatureScheme? =
                switch (group.sha, group.mgfSha, group.sLen) {
                case ("SHA-256", "SHA-256", 32): .rsaPSS(.sha256)
                case ("SHA-384", "SHA-384", 48): .rsaPSS(.sha384)
                case ("SHA-512", "SHA-512", 64): .rsaPSS(.sha512)
                default: nil
                }
            for vector in group.tests {
                #expect(vector.isValid)
                for hash: HashAlgorithm in [.sha256, .sha384, .sha512] {
                    let scheme = SignatureScheme.rsaPSS(hash)
                    let isValid = key.isValid(vector.signature, over: vector.message, scheme: scheme)
                    #expect(isValid == (scheme == own), "\(vector.tcId) under \(scheme)")
                }
                if own == nil { others += 1 } else { ours += 1 }
            }
        }
        #expect(ours == 3)
        #expect(others == 147)
        #expect(vectors.numberOfTests == 150)
    }

    /// Our signatures have one encoding, `r ‖ s`. A DER signature that is strict DER of two numbers that fit is checked in
    /// that form; the rest cannot be said to us at all, and none of it may be one that has to be accepted.
    @Test(arguments: [
        ("ecdsa_secp256r1_sha256", SignatureScheme.ecdsa(.p256, .sha256), 174, 75, 235),
        ("ecdsa_secp384r1_sha384", .ecdsa(.p384, .sha384), 194, 75, 235),
    ]) func `every DER vector that can be put as r and s gets the answer it expects`(
        name: String, scheme: SignatureScheme, expectedValid: Int, expectedRefused: Int, expectedUnsayable: Int
    ) throws {
        let vectors = try SignatureVectors(file: name)
        var (valid, refused, unsayable) = (0, 0, 0)
        for group in vectors.testGroups {
            let key = try PublicKey(der: [UInt8](hexadecimal: group.publicKeyDer))
            guard case .ellipticCurve(let curve) = key.type else { throw KeyFailure.unsupported }
            let prepared = try PublicKey(der: [UInt8](hexadecimal: group.publicKeyDer))
            #expect(prepared.prepare() == (curve == .p256))
            for vector in group.tests {
                // Never mistaken for r and s, whatever its length.
                #expect(!key.isValid(vector.signature, over: vector.message, scheme: scheme))
                guard let raw = StrictDER.rAndS(vector.signature, half: curve.coordinateLength) else {
                    #expect(!vector.isValid, "\(vector.tcId): \(vector.comment)")
                    unsayable += 1
                    continue
                }
                let isValid = key.isValid(raw, over: vector.message, scheme: scheme)
                #expect(isValid == vector.isValid, "\(vector.tcId): \(vector.comment) \(vector.flags)")
                #expect(prepared.isValid(raw, over: vector.message, scheme: scheme) == vector.isValid, "\(vector.tcId)")
                if isValid { valid += 1 } else { refused += 1 }
            }
        }
        #expect(valid == expectedValid)
        #expect(refused == expectedRefused)
        #expect(unsayable == expectedUnsayable)
        #expect(valid + refused + unsayable == vectors.numberOfTests)
    }
}

/// `SEQUENCE { INTEGER r, INTEGER s }` in DER and nothing else, as two numbers of a fixed length.
private enum StrictDER {
    static func rAndS(_ der: [UInt8], half: Int) -> [UInt8]? {
        var rest = der[...]
        guard var sequence = element(0x30, &rest), rest.isEmpty, let r = number(&sequence, half),
            let s = number(&sequence, half), sequence.isEmpty
        else { return nil }
        return r + s
    }

    private static func number(_ input: inout ArraySlice<UInt8>, _ half: Int) -> [UInt8]? {
        guard let bytes = element(0x02, &input), let first = bytes.first, first < 0x80 else { return nil }
        let digits = first == 0 && bytes.count > 1 ? bytes.dropFirst() : bytes
        if digits.count < bytes.count, let second = digits.first, second < 0x80 { return nil }
        guard digits.count <= half else { return nil }
        return [UInt8](repeating: 0, count: half - digits.count) + digits
    }

    private static func element(_ tag: UInt8, _ input: inout ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        guard input.popFirst() == tag, let length = input.popFirst(), length < 0x80, input.count >= length else {
            return nil
        }
        defer { input = input.dropFirst(Int(length)) }
        return input.prefix(Int(length))
    }
}
