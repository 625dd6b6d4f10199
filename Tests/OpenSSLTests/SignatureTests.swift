import OpenSSL
import Testing

@Suite struct SignatureTests {
    static let hashes: [HashAlgorithm] = [.sha256, .sha384, .sha512]
    static let schemes: [SignatureScheme] =
        hashes.map { .rsaPKCS1($0) } + hashes.map { .rsaPSS($0) }
        + [.ecdsa(.p256, .sha256), .ecdsa(.p384, .sha384), .ecdsa(.p521, .sha512), .ed25519]

    static let rsa = Result { try PrivateKey.generate(.rsa(bits: 2048)) }

    static func key(for scheme: SignatureScheme) throws -> PrivateKey {
        switch scheme {
        case .rsaPKCS1, .rsaPSS: try rsa.get()
        case .ecdsa(let curve, _): try PrivateKey.generate(.ellipticCurve(curve))
        case .ed25519: try PrivateKey.generate(.ed25519)
        }
    }

    let message = Array("a message of some length".utf8)

    @Test(arguments: schemes) func `a signature verifies under its own key, message and scheme alone`(
        _ scheme: SignatureScheme
    ) throws {
        let key = try Self.key(for: scheme)
        let signature = try key.sign(message, scheme)
        #expect(key.publicKey.isValid(signature, over: message, scheme: scheme))
        #expect(!key.publicKey.isValid(signature, over: message + [0], scheme: scheme))
        #expect(!key.publicKey.isValid(signature, over: [], scheme: scheme))
        for other in Self.schemes where other != scheme {
            #expect(!key.publicKey.isValid(signature, over: message, scheme: other), "\(other)")
        }
        let stranger = try PrivateKey.generate(key.type).publicKey
        #expect(!stranger.isValid(signature, over: message, scheme: scheme))
    }

    @Test(arguments: schemes) func `a signature with any byte changed is refused`(_ scheme: SignatureScheme) throws {
        let key = try Self.key(for: scheme)
        let signature = try key.sign(message, scheme)
        for index in signature.indices {
            var altered = signature
            altered[index] ^= 1 << UInt8(index % 8)
            #expect(!key.publicKey.isValid(altered, over: message, scheme: scheme), "byte \(index)")
        }
    }

    @Test(arguments: schemes) func `a signature that is empty, shorter or longer is refused`(
        _ scheme: SignatureScheme
    ) throws {
        let key = try Self.key(for: scheme)
        let signature = try key.sign(message, scheme)
        let wrongs: [[UInt8]] = [
            [], [0], Array(signature.dropLast()), Array(signature.dropFirst()), signature + [0], [0] + signature,
            signature + signature, [UInt8](repeating: 0, count: signature.count),
            [UInt8](repeating: 0xFF, count: signature.count),
        ]
        for wrong in wrongs {
            #expect(!key.publicKey.isValid(wrong, over: message, scheme: scheme), "\(wrong.count) bytes")
        }
    }

    @Test(arguments: schemes) func `an empty message can be signed and verified`(_ scheme: SignatureScheme) throws {
        let key = try Self.key(for: scheme)
        let signature = try key.sign([], scheme)
        #expect(key.publicKey.isValid(signature, over: [], scheme: scheme))
        #expect(!key.publicKey.isValid(signature, over: [0], scheme: scheme))
    }

    /// RFC 7518 §3.4: octets of a fixed length, leading zeros included; in 300 signatures a short r or s is all but sure.
    @Test(arguments: EllipticCurve.allCases) func `r and s always have the full length of the curve`(
        _ curve: EllipticCurve
    ) throws {
        let key = try PrivateKey.generate(.ellipticCurve(curve))
        for number in 0..<300 {
            let message = [UInt8(number & 0xFF), UInt8(number >> 8)]
            let signature = try key.sign(message, .ecdsa(curve, .sha256))
            #expect(signature.count == 2 * curve.coordinateLength)
            #expect(key.publicKey.isValid(signature, over: message, scheme: .ecdsa(curve, .sha256)))
        }
    }

    @Test func `a scheme fits only its own kind of key`() {
        #expect(SignatureScheme.ecdsa(.p256, .sha256).fits(.ellipticCurve(.p256)))
        #expect(!SignatureScheme.ecdsa(.p256, .sha256).fits(.ellipticCurve(.p384)))
        #expect(!SignatureScheme.ecdsa(.p256, .sha256).fits(.rsa(bits: 2048)))
        #expect(!SignatureScheme.rsaPSS(.sha256).fits(.ed25519))
        #expect(!SignatureScheme.ed25519.fits(.ellipticCurve(.p256)))
    }
}
