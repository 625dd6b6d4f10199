import Foundation
import Testing
import VectorFiles

@testable import OpenSSL

/// Nothing that a person or a log reads shows a secret, and no call leaves OpenSSL's errors to the next.
@Suite struct SecrecyTests {
    struct Holder {
        let secret: SecretBytes
        let optional: SecretBytes?
        let list: [SecretBytes]
    }

    /// Every way in which Swift turns a value into text.
    static func renderings(_ value: Any) -> [String] {
        var dumped = ""
        dump(value, to: &dumped)
        let reflected = Mirror(reflecting: value).children.map { "\($0)" }.joined()
        return [String(describing: value), String(reflecting: value), "\(value)", dumped, reflected]
    }

    /// How the bytes could show.
    static func spellings(_ bytes: [UInt8]) -> [String] {
        let part = Array(bytes[..<8])
        return [
            String(decoding: bytes, as: UTF8.self), part.hexadecimal, part.hexadecimal.uppercased(),
            part.map { "\($0)" }.joined(separator: ", "), Data(part).base64EncodedString().dropLast(2) + "",
        ]
    }

    @Test func `a secret shows in no printed form of itself or of what holds it`() throws {
        let bytes = Array("hunter2!hunter2!hunter2!hunter2!".utf8)
        let secret = SecretBytes(bytes)
        let key = try #require(AESGCMKey(secret))
        for value: Any in [secret, key, Holder(secret: secret, optional: secret, list: [secret])] {
            for text in Self.renderings(value) {
                for spelling in Self.spellings(bytes) { #expect(!text.contains(spelling), "\(text)") }
            }
        }
        #expect("\(secret)" == "(secret)")
        #expect(Mirror(reflecting: secret).children.isEmpty)
        // The search itself works: it finds the bytes where they are not hidden.
        #expect(Self.renderings(bytes).contains { $0.contains(Self.spellings(bytes)[3]) })
    }

    @Test func `a private key shows in no printed form of itself`() throws {
        let seed = Array("hunter2!hunter2!hunter2!hunter2!".utf8)
        let key = try PrivateKey(ed25519Seed: seed)
        for text in Self.renderings(key) {
            for spelling in Self.spellings(seed) { #expect(!text.contains(spelling), "\(text)") }
        }
    }

    /// Errors are logged: their text is OpenSSL's and ours, never the input's.
    @Test func `no error holds what was read`() {
        let text = "-----BEGIN PUBLIC KEY-----\nhunter2hunter2hunter2\n-----END PUBLIC KEY-----"
        #expect {
            try KeyReadingTests.publicKey(text)
        } throws: {
            !Self.renderings($0).contains { $0.contains("hunter2") }
        }
    }

    /// Synchronous throughout, hence on one thread, whose queue it is.
    @Test func `no refused or accepted input leaves an error in the thread's queue`() throws {
        let key = try #require(AESGCMKey(SecretBytes([UInt8](repeating: 7, count: 32))))
        let ec = try PrivateKey.generate(.ellipticCurve(.p256))
        let signature = try ec.sign([1], .ecdsa(.p256, .sha256))
        let explicitCurve = try KeyReadingTests.der(SampleKeys.explicitCurve)
        let calls: [(String, () throws -> Void)] = [
            ("garbage DER", { _ = try PublicKey(der: [1, 2, 3]) }),
            ("no DER", { _ = try PublicKey(der: []) }),
            ("garbage PKCS 8", { _ = try PrivateKey(pkcs8Bytes: [0x30, 0x80]) }),
            ("trailing byte", { _ = try PublicKey(der: KeyReadingTests.der(SampleKeys.p256) + [0]) }),
            ("garbage PEM", { _ = try PublicKey(pem: [0x2D]) }),
            ("private as public", { _ = try KeyReadingTests.publicKey(SampleKeys.p256Private) }),
            ("encrypted", { _ = try PrivateKey(pemText: SampleKeys.encrypted) }),
            ("explicit curve", { _ = try PublicKey(der: explicitCurve) }),
            ("secp256k1", { _ = try KeyReadingTests.publicKey(SampleKeys.secp256k1) }),
            ("Ed448", { _ = try KeyReadingTests.publicKey(SampleKeys.ed448) }),
            ("1024 bits", { _ = try KeyReadingTests.publicKey(SampleKeys.rsa1024) }),
            ("exponent 3", { _ = try KeyReadingTests.publicKey(SampleKeys.rsaExponent3) }),
            ("second block", { _ = try KeyReadingTests.publicKey(SampleKeys.p256Private + "\n" + SampleKeys.p256) }),
            (
                "off the curve",
                {
                    _ = try PublicKey(
                        curve: .p256, x: .init(repeating: 1, count: 32), y: .init(repeating: 1, count: 32))
                }
            ),
            ("infinity", { _ = try PublicKey(der: [UInt8](hexadecimal: WeakKeyTests.infinity)) }),
            ("small order", { _ = try PublicKey(ed25519: .init(repeating: 0, count: 32)) }),
            ("ordinary", { _ = try KeyReadingTests.publicKey(SampleKeys.p256).coordinates }),
            ("short message", { _ = try key.opened([1, 2, 3], associatedData: []) }),
            ("altered message", { _ = try key.opened(.init(repeating: 1, count: 64), associatedData: []) }),
            ("sealing", { _ = try key.sealed([1], associatedData: []) }),
            ("signing", { _ = try ec.sign([1], .ecdsa(.p256, .sha256)) }),
            ("valid signature", { _ = ec.publicKey.isValid(signature, over: [1], scheme: .ecdsa(.p256, .sha256)) }),
            ("wrong message", { _ = ec.publicKey.isValid(signature, over: [2], scheme: .ecdsa(.p256, .sha256)) }),
            (
                "zeros",
                { _ = ec.publicKey.isValid(.init(repeating: 0, count: 64), over: [1], scheme: .ecdsa(.p256, .sha256)) }
            ),
            (
                "RSA garbage",
                {
                    _ = try SignatureTests.rsa.get().publicKey.isValid(
                        .init(repeating: 255, count: 256), over: [1], scheme: .rsaPSS(.sha256))
                }
            ),
        ]
        for (name, call) in calls {
            try? call()
            #expect(OpenSSLError.isQueueEmpty, "\(name)")
        }
    }
}
