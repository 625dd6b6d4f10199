import Testing

@testable import OpenSSL

/// Signatures that are checked with multiples of the key.
@Suite struct P256TableTests {
    /// n, big-endian.
    static let order: [UInt8] = [
        0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xBC, 0xE6,
        0xFA,
        0xAD, 0xA7, 0x17, 0x9E, 0x84, 0xF3, 0xB9, 0xCA, 0xC2, 0xFC, 0x63, 0x25, 0x51,
    ]
    /// The base point: the public key whose private half is 1.
    static let base: (x: [UInt8], y: [UInt8]) = (
        [
            0x6B, 0x17, 0xD1, 0xF2, 0xE1, 0x2C, 0x42, 0x47, 0xF8, 0xBC, 0xE6, 0xE5, 0x63, 0xA4, 0x40, 0xF2, 0x77, 0x03,
            0x7D, 0x81, 0x2D, 0xEB, 0x33, 0xA0, 0xF4, 0xA1, 0x39, 0x45, 0xD8, 0x98, 0xC2, 0x96,
        ],
        [
            0x4F, 0xE3, 0x42, 0xE2, 0xFE, 0x1A, 0x7F, 0x9B, 0x8E, 0xE7, 0xEB, 0x4A, 0x7C, 0x0F, 0x9E, 0x16, 0x2B, 0xCE,
            0x33, 0x57, 0x6B, 0x31, 0x5E, 0xCE, 0xCB, 0xB6, 0x40, 0x68, 0x37, 0xBF, 0x51, 0xF5,
        ]
    )
    /// The x coordinate of twice the base point, which is below n.
    static let doubled: [UInt8] = [
        0x7C, 0xF2, 0x7B, 0x18, 0x8D, 0x03, 0x4F, 0x7E, 0x8A, 0x52, 0x38, 0x03, 0x04, 0xB5, 0x1A, 0xC3, 0xC0, 0x89,
        0x69,
        0xE2, 0x77, 0xF2, 0x1B, 0x35, 0xA6, 0x0B, 0x48, 0xFC, 0x47, 0x66, 0x99, 0x78,
    ]

    private static func difference(_ minuend: [UInt8], _ subtrahend: [UInt8]) -> [UInt8] {
        var (result, borrow) = ([UInt8](repeating: 0, count: 32), 0)
        for index in (0..<32).reversed() {
            let value = Int(minuend[index]) - Int(subtrahend[index]) - borrow
            (result[index], borrow) = (UInt8(truncatingIfNeeded: value), value < 0 ? 1 : 0)
        }
        return result
    }

    private static func digest(_ bytes: [UInt8]) -> SHA256Digest {
        var digest = SHA256Digest()
        withUnsafeMutableBytes(of: &digest.words) { $0.copyBytes(from: bytes) }
        return digest
    }

    private static func table(of base: (x: [UInt8], y: [UInt8])) throws -> P256Table {
        let key = try PublicKey(curve: .p256, x: base.x, y: base.y)
        #expect(key.prepare())
        return try #require(key.multiples)
    }

    @Test func `agrees with EVP about many signatures and each of their alterations`() throws {
        for number in 0..<8 {
            let key = try PrivateKey.generate(.ellipticCurve(.p256))
            let point = try #require(key.publicKey.coordinates)
            let other = try PublicKey(curve: .p256, x: point.x, y: point.y)
            #expect(other.prepare())
            let scheme = SignatureScheme.ecdsa(.p256, .sha256)
            for length in 0..<64 {
                let message = [UInt8](repeating: UInt8(number), count: length)
                var signature = try key.sign(message, scheme)
                #expect(other.isValid(signature, over: message, scheme: scheme))
                #expect(!other.isValid(signature, over: message + [1], scheme: scheme))
                signature[length] ^= 1 << UInt8(number)
                #expect(!key.publicKey.isValid(signature, over: message, scheme: scheme))
                #expect(!other.isValid(signature, over: message, scheme: scheme))
            }
        }
    }

    @Test func `adds a point to itself, to its opposite and to nothing`() throws {
        let table = try Self.table(of: Self.base)
        let (x, zero) = (Self.base.x, [UInt8](repeating: 0, count: 32))
        func isValid(_ r: [UInt8], _ s: [UInt8], _ digest: [UInt8]) -> Bool? {
            table.isValidSignature((r + s).span, digest: Self.digest(digest))
        }
        // u1 = u2 = 1: G + G.
        #expect(isValid(Self.doubled, Self.doubled, Self.doubled) == true)
        #expect(isValid(Self.doubled, Self.doubled, x) == false)
        // u1 = 1, u2 = -1: nothing, which has no coordinates.
        let opposite = Self.difference(Self.order, x)
        #expect(isValid(x, opposite, opposite) == false)
        // u1 = 0, u2 = 1: the key itself.
        #expect(isValid(x, x, zero) == true)
        #expect(isValid(x, x, Self.order) == true)
        // Neither r nor s may be 0, n or more.
        let most = [UInt8](repeating: 0xFF, count: 32)
        for wrong in [zero, Self.order, most] {
            for digest in [zero, x, Self.order, most] {
                #expect(isValid(wrong, x, digest) == false)
                #expect(isValid(x, wrong, digest) == false)
                #expect(isValid(wrong, wrong, digest) == false)
            }
        }
        for count in [0, 32, 63, 65, 128] {
            let signature = [UInt8](repeating: 1, count: count)
            #expect(table.isValidSignature(signature.span, digest: Self.digest(zero)) == false)
        }
    }

    @Test func `is made for keys on P-256 alone`() throws {
        for type: KeyType in [.ellipticCurve(.p384), .ellipticCurve(.p521), .ed25519, .rsa(bits: 2048)] {
            #expect(try !PrivateKey.generate(type).publicKey.prepare())
        }
        #expect(try PrivateKey.generate(.ellipticCurve(.p256)).publicKey.prepare())
    }

    @Test func `is made once many signatures were checked with a key of which that is expected`() async throws {
        let key = try PrivateKey.generate(.ellipticCurve(.p256))
        let scheme = SignatureScheme.ecdsa(.p256, .sha256)
        let signature = try key.sign([1], scheme)
        for _ in 0..<300 { #expect(key.publicKey.isValid(signature, over: [1], scheme: scheme)) }
        #expect(key.publicKey.multiples == nil)
        key.publicKey.expectMany()
        for _ in 0..<255 { #expect(key.publicKey.isValid(signature, over: [1], scheme: scheme)) }
        #expect(!key.publicKey.isPreparedOrUnderWay)
        #expect(key.publicKey.isValid(signature, over: [1], scheme: scheme))
        #expect(key.publicKey.isPreparedOrUnderWay)
        while key.publicKey.multiples == nil { await Task.yield() }
        #expect(key.publicKey.isValid(signature, over: [1], scheme: scheme))
        #expect(!key.publicKey.isValid(signature, over: [2], scheme: scheme))
    }
}
