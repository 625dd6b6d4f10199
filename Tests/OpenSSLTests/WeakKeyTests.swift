import OpenSSL
import Testing
import VectorFiles

/// Keys that are well formed and must not be used.
@Suite struct WeakKeyTests {
    static let modulus = [UInt8](hexadecimal: SampleKeys.modulus)

    static func rsa(_ modulus: [UInt8], _ exponent: [UInt8] = [1, 0, 1]) throws(KeyFailure) -> PublicKey {
        try PublicKey(rsaModulus: modulus, exponent: exponent)
    }

    @Test func `an RSA key of ordinary numbers is accepted`() throws {
        #expect(try Self.rsa(Self.modulus).type == .rsa(bits: 2048))
        // The largest exponent of 64 bits.
        let exponent = [UInt8](repeating: 0xFF, count: 8)
        #expect(try Self.rsa(Self.modulus, exponent).rsaNumbers?.exponent == exponent)
    }

    @Test(
        arguments: [
            [], [0], [1], [2], [3], [17], [0xFF, 0xFF], [1, 0, 0], [1, 0, 2], [0, 1, 0, 1],
            [1, 0, 0, 0, 0, 0, 0, 0, 1], [UInt8](repeating: 0xFF, count: 256),
        ] as [[UInt8]]) func `an exponent that is even, small, padded or long is refused`(_ exponent: [UInt8])
    {
        #expect(throws: KeyFailure.rsaExponent) { try Self.rsa(Self.modulus, exponent) }
    }

    @Test func `an RSA key outside of 2048 to 8192 bits is refused`() throws {
        #expect(throws: KeyFailure.rsaSize(bits: 1024)) { try KeyReadingTests.publicKey(SampleKeys.rsa1024) }
        #expect(throws: KeyFailure.rsaExponent) { try KeyReadingTests.publicKey(SampleKeys.rsaExponent3) }
        #expect(throws: KeyFailure.rsaSize(bits: 2047)) {
            try Self.rsa([0x7F] + [UInt8](repeating: 0xFF, count: 255))
        }
        #expect(throws: KeyFailure.rsaSize(bits: 1)) { try Self.rsa([1]) }
        #expect(throws: KeyFailure.length) { try Self.rsa([1] + [UInt8](repeating: 0xFF, count: 1024)) }
        #expect(throws: KeyFailure.length) { try Self.rsa([]) }
        #expect(throws: KeyFailure.length) { try Self.rsa([UInt8](repeating: 0, count: 256)) }
        #expect(throws: KeyFailure.length) { try Self.rsa([UInt8](repeating: 0xFF, count: 1 << 20)) }
        #expect(throws: KeyFailure.rsaSize(bits: 1024)) { try PrivateKey.generate(.rsa(bits: 1024)) }
    }

    @Test func `a modulus with a leading zero byte is refused`() {
        #expect(throws: KeyFailure.length) { try Self.rsa([0] + Self.modulus) }
    }

    @Test func `an even modulus is refused`() {
        var even = Self.modulus
        even[even.count - 1] &= 0xFE
        #expect(throws: KeyFailure.rsaModulusEven) { try Self.rsa(even) }
    }

    @Test func `a modulus of the broken generator is refused`() {
        #expect(throws: KeyFailure.rsaROCA) { try Self.rsa([UInt8](hexadecimal: SampleKeys.rocaModulus)) }
    }

    @Test func `a point off its curve is refused`() throws {
        let (x, y) = try #require(KeyReadingTests.publicKey(SampleKeys.p256).coordinates)
        var wrong = y
        wrong[31] ^= 1
        #expect(throws: KeyFailure.self) { try PublicKey(curve: .p256, x: x, y: wrong) }
        #expect(throws: KeyFailure.self) { try PublicKey(curve: .p256, x: y, y: x) }
        for curve in EllipticCurve.allCases {
            for fill: UInt8 in [0x00, 0xFF] {
                let number = [UInt8](repeating: fill, count: curve.coordinateLength)
                #expect(throws: KeyFailure.self) { try PublicKey(curve: curve, x: number, y: number) }
            }
        }
    }

    @Test func `coordinates of another length are refused, also of another curve's`() throws {
        let (x, y) = try #require(KeyReadingTests.publicKey(SampleKeys.p256).coordinates)
        for wrong in [[], Array(x.dropLast()), Array(x.dropFirst()), [0] + x, x + [0]] {
            #expect(throws: KeyFailure.length) { try PublicKey(curve: .p256, x: wrong, y: y) }
            #expect(throws: KeyFailure.length) { try PublicKey(curve: .p256, x: y, y: wrong) }
        }
        #expect(throws: KeyFailure.length) { try PublicKey(curve: .p384, x: x, y: y) }
    }

    /// 66 bytes hold more than p = 2⁵²¹ − 1, so that a coordinate could be spelt twice: as x and as x + p.
    @Test func `a coordinate beyond the field is refused`() throws {
        let (x, y) = try #require(PrivateKey.generate(.ellipticCurve(.p521)).publicKey.coordinates)
        var sum = [UInt8](repeating: 0, count: 66)
        var carry = 0
        let p = [1] + [UInt8](repeating: 0xFF, count: 65)
        for index in (0..<66).reversed() {
            let digit = Int(x[index]) + Int(p[index]) + carry
            sum[index] = UInt8(digit & 0xFF)
            carry = digit >> 8
        }
        #expect(throws: KeyFailure.self) { try PublicKey(curve: .p521, x: sum, y: y) }
        #expect(try PublicKey(curve: .p521, x: x, y: y).material == [x, y])
    }

    /// Under infinity r is the x coordinate of a point that anyone can compute.
    @Test func `the point at infinity is refused`() {
        #expect(throws: KeyFailure.point) { try PublicKey(der: [UInt8](hexadecimal: Self.infinity)) }
    }

    /// A SubjectPublicKeyInfo on P-256 whose point is the one byte that stands for infinity (SEC 1 §2.3.3).
    static let infinity = "3019301306072a8648ce3d020106082a8648ce3d03010703020000"

    static let smallOrders = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ]

    @Test(arguments: smallOrders) func `an Ed25519 point of small order is refused in either sign`(_ point: String) {
        var bytes = [UInt8](hexadecimal: point)
        #expect(throws: KeyFailure.point) { try PublicKey(ed25519: bytes) }
        bytes[31] |= 0x80
        #expect(throws: KeyFailure.point) { try PublicKey(ed25519: bytes) }
    }

    @Test(arguments: [0, 1, 31, 33, 64]) func `an Ed25519 key or seed of another length is refused`(_ length: Int) {
        #expect(throws: KeyFailure.length) { try PublicKey(ed25519: [UInt8](repeating: 9, count: length)) }
        #expect(throws: KeyFailure.length) { try PrivateKey(ed25519Seed: [UInt8](repeating: 9, count: length)) }
    }

    @Test func `a private key is built only from a scalar in range with its own point`() throws {
        let (x, y) = try #require(KeyReadingTests.publicKey(SampleKeys.p256).coordinates)
        let other = try #require(PrivateKey.generate(.ellipticCurve(.p256)).publicKey.coordinates)
        // version 1, then the private key's octet string; in PKCS #8 it follows 36 bytes of wrapping.
        let scalar = try Array(KeyReadingTests.der(SampleKeys.p256Private)[36..<68])
        let order = [UInt8](hexadecimal: "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
        let key = try PrivateKey(curve: .p256, x: x, y: y, scalarBytes: scalar)
        #expect(key.publicKey.material == [x, y])
        #expect(throws: KeyFailure.self) {
            try PrivateKey(curve: .p256, x: other.x, y: other.y, scalarBytes: scalar)
        }
        for wrong in [[UInt8](repeating: 0, count: 32), order, [UInt8](repeating: 0xFF, count: 32)] {
            #expect(throws: KeyFailure.self) { try PrivateKey(curve: .p256, x: x, y: y, scalarBytes: wrong) }
        }
        #expect(throws: KeyFailure.length) {
            try PrivateKey(curve: .p256, x: x, y: y, scalarBytes: [0] + scalar)
        }
    }
}
