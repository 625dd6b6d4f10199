import Foundation
import OpenSSL
import Testing

/// What is read from PEM and DER, and what is not.
@Suite struct KeyReadingTests {
    static func der(_ pem: String) throws -> [UInt8] {
        let body = pem.split(separator: "\n").filter { !$0.hasPrefix("-") }.joined()
        return try [UInt8](#require(Data(base64Encoded: body)))
    }

    static func publicKey(_ pem: String) throws(KeyFailure) -> PublicKey {
        try PublicKey(pem: Array(pem.utf8))
    }

    @Test(arguments: [
        (SampleKeys.p256, SampleKeys.p256Private, KeyType.ellipticCurve(.p256)),
        (SampleKeys.ed25519, SampleKeys.ed25519Private, .ed25519),
    ]) func `PEM, DER and the private half give one public key`(
        publicPEM: String, privatePEM: String, type: KeyType
    ) throws {
        let key = try Self.publicKey(publicPEM)
        #expect(key.type == type)
        #expect(!key.material.isEmpty)
        #expect(try PublicKey(der: Self.der(publicPEM)).material == key.material)
        #expect(try PrivateKey(pemText: privatePEM).publicKey.material == key.material)
        #expect(try PrivateKey(pkcs8Bytes: Self.der(privatePEM)).publicKey.material == key.material)
    }

    @Test func `the parts of a key build the same key`() throws {
        let ec = try Self.publicKey(SampleKeys.p256)
        let (x, y) = try #require(ec.coordinates)
        #expect(try PublicKey(curve: .p256, x: x, y: y).material == [x, y])
        let ed = try #require(Self.publicKey(SampleKeys.ed25519).ed25519Bytes)
        #expect(try PublicKey(ed25519: ed).material == [ed])
        let rsa = try #require(SignatureTests.rsa.get().publicKey.rsaNumbers)
        #expect(rsa.exponent == [1, 0, 1])
        #expect(try PublicKey(rsaModulus: rsa.modulus, exponent: rsa.exponent).material == [rsa.modulus, rsa.exponent])
    }

    @Test(arguments: [KeyType.rsa(bits: 2048), .ellipticCurve(.p256), .ellipticCurve(.p521), .ed25519])
    func `a private key survives sealing as PKCS 8`(_ type: KeyType) throws {
        let key = try PrivateKey.generate(type)
        let copy = try PrivateKey(pkcs8Bytes: key.pkcs8Bytes())
        #expect(copy.type == type)
        #expect(copy.publicKey.material == key.publicKey.material)
        #expect(try copy.pkcs8Bytes() == key.pkcs8Bytes())
    }

    @Test(arguments: [SampleKeys.p256, SampleKeys.ed25519])
    func `a DER public key cut at any length or followed by anything is refused`(_ pem: String) throws {
        let der = try Self.der(pem)
        for length in 0..<der.count {
            #expect(throws: KeyFailure.self, "\(length) bytes") { try PublicKey(der: Array(der[..<length])) }
        }
        #expect(throws: KeyFailure.length) { try PublicKey(der: der + [0]) }
        #expect(throws: KeyFailure.length) { try PublicKey(der: der + der) }
    }

    @Test(arguments: [SampleKeys.p256Private, SampleKeys.ed25519Private])
    func `a DER private key cut at any length or followed by anything is refused`(_ pem: String) throws {
        let der = try Self.der(pem)
        for length in 0..<der.count {
            #expect(throws: KeyFailure.self, "\(length) bytes") { try PrivateKey(pkcs8Bytes: Array(der[..<length])) }
        }
        #expect(throws: KeyFailure.length) { try PrivateKey(pkcs8Bytes: der + [0]) }
    }

    @Test func `text around a PEM block is skipped and the first block counts`() throws {
        let key = try Self.publicKey(SampleKeys.p256)
        let text = "about this key:\n\(SampleKeys.p256)\n\(SampleKeys.ed25519)\ntrailing"
        #expect(try Self.publicKey(text).material == key.material)
        #expect(try Self.publicKey(SampleKeys.p256Private + "\n" + SampleKeys.p256).material == key.material)
    }

    @Test(arguments: [
        "", "\0", "-----BEGIN PUBLIC KEY-----", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----", SampleKeys.p256Private,
        SampleKeys.p256Traditional, SampleKeys.ed25519Private, SampleKeys.p256Certificate, SampleKeys.encrypted,
        String(SampleKeys.p256.dropLast(30)), SampleKeys.p256.replacing("PUBLIC KEY", with: "RSA PUBLIC KEY"),
    ]) func `only a block PUBLIC KEY is a public key`(_ text: String) {
        #expect(throws: KeyFailure.self) { try Self.publicKey(text) }
    }

    @Test(arguments: ["", "\0", SampleKeys.p256, SampleKeys.ed25519, SampleKeys.p256Certificate])
    func `only a private key block is a private key`(_ text: String) {
        #expect(throws: KeyFailure.self) { try PrivateKey(pemText: text) }
    }

    @Test(arguments: [SampleKeys.p256Private, SampleKeys.p256Traditional])
    func `a private key may be PEM of either form`(_ text: String) throws {
        #expect(try PrivateKey(pemText: text).publicKey.material == Self.publicKey(SampleKeys.p256).material)
    }

    @Test func `DER is PKCS 8 only`() throws {
        #expect(throws: KeyFailure.self) { try PrivateKey(pkcs8Bytes: Self.der(SampleKeys.p256Traditional)) }
        #expect(throws: KeyFailure.self) { try PrivateKey(pkcs8Bytes: Self.der(SampleKeys.encrypted)) }
        #expect(throws: KeyFailure.self) { try PrivateKey(pkcs8Bytes: Self.der(SampleKeys.p256)) }
        #expect(throws: KeyFailure.self) { try PublicKey(der: Self.der(SampleKeys.p256Private)) }
        #expect(throws: KeyFailure.self) { try PublicKey(der: Self.der(SampleKeys.p256Certificate)) }
    }

    /// A prompt would wait for a terminal.
    @Test(.timeLimit(.minutes(1)), arguments: [SampleKeys.encrypted, SampleKeys.encryptedTraditional])
    func `an encrypted key is refused and no password asked for`(_ text: String) throws {
        #expect(throws: KeyFailure.self) { try PrivateKey(pemText: text) }
    }

    @Test func `text beyond a megabyte is refused unread`() {
        let text = SampleKeys.p256 + String(repeating: "\n", count: 1 << 20)
        #expect(throws: KeyFailure.length) { try Self.publicKey(text) }
        #expect(throws: KeyFailure.length) { try PrivateKey(pemText: text) }
    }

    @Test(arguments: [
        SampleKeys.explicitCurve, SampleKeys.secp256k1, SampleKeys.x25519, SampleKeys.ed448, SampleKeys.rsaPSS,
    ]) func `a key of no kind that we use is refused`(_ pem: String) throws {
        #expect(throws: KeyFailure.unsupported) { try Self.publicKey(pem) }
        #expect(throws: KeyFailure.unsupported) { try PublicKey(der: Self.der(pem)) }
    }

    @Test func `a private key whose curve is spelt out is refused`() throws {
        #expect(throws: KeyFailure.unsupported) { try PrivateKey(pemText: SampleKeys.explicitCurvePrivate) }
        #expect(throws: KeyFailure.unsupported) {
            try PrivateKey(pkcs8Bytes: Self.der(SampleKeys.explicitCurvePrivate))
        }
    }
}
