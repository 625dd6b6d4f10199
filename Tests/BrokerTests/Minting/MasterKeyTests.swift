import Broker
import JOSE
import OpenSSL
import Testing

@Suite struct MasterKeyTests {
    private func secret(_ text: String) -> SecretBytes { SecretBytes(copying: Array(text.utf8).span) }

    private func text(_ secret: SecretBytes) -> String {
        secret.withSpan { span in String(decoding: (0..<span.count).map { span[$0] }, as: UTF8.self) }
    }

    @Test func `the file of a new key is one line of 66 characters, and holds that key`() throws {
        let (key, file) = try MasterKey.generate()
        #expect(text(file).wholeMatch(of: /daypass-master-key-v1:[A-Za-z0-9_-]{43}\n/) != nil)
        #expect(try MasterKey(file: file).id == key.id)
        let sealed = try key.seal(secret("s"), for: Self.place)
        #expect(text(try MasterKey(file: file).open(sealed, from: Self.place)) == "s")
    }

    @Test func `the file without its line break holds the same key`() throws {
        let (key, file) = try MasterKey.generate()
        #expect(try MasterKey(file: secret(String(text(file).dropLast()))).id == key.id)
    }

    @Test func `no two keys are alike, and the id tells nothing of the key`() throws {
        let (first, file) = try MasterKey.generate()
        #expect(first.id != (try MasterKey.generate().0.id))
        #expect(first.id.utf8.count == 16)
        #expect(!text(file).contains(first.id.string))
    }

    @Test func `neither the key nor its file can be printed`() throws {
        let (key, file) = try MasterKey.generate()
        let body = text(file).dropFirst(22).dropLast()
        for shown in ["\(key)", "\(file)", String(reflecting: key), String(reflecting: file)] {
            #expect(!shown.contains(body))
            #expect(!shown.contains("daypass-master-key-v1"))
        }
    }

    private static let body = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

    @Test(arguments: [
        "", "\n", "daypass-master-key-v1:", "daypass-master-key-v1:\n", body, "daypass-master-key-v2:\(body)\n",
        "Daypass-Master-Key-v1:\(body)\n", "daypass-master-key-v1: \(body)\n", " daypass-master-key-v1:\(body)\n",
        "daypass-master-key-v1:\(body)\r\n", "daypass-master-key-v1:\(body)\n\n", "daypass-master-key-v1:\(body)=\n",
        "daypass-master-key-v1:\(body.dropLast())\n", "daypass-master-key-v1:\(body)A\n",
        "daypass-master-key-v1:\(body.dropLast())9\n", "daypass-master-key-v1:\(body)\ndaypass-master-key-v1:\(body)\n",
        "\u{FEFF}daypass-master-key-v1:\(body)\n",
    ])
    func `a file of any other form is refused`(file: String) {
        #expect(throws: MasterKeyFailure.self) { try MasterKey(file: secret(file)) }
    }

    @Test func `a file of the right form is accepted, whatever its bytes`() throws {
        _ = try MasterKey(file: secret("daypass-master-key-v1:\(Self.body)\n"))
        _ = try MasterKey(file: secret("daypass-master-key-v1:" + String(repeating: "A", count: 43)))
    }

    private static let place = SealedPlace(purpose: "signing-key", table: "signing_keys", id: "k1", version: 1)

    @Test func `what is sealed twice never looks alike, and does not show the plaintext`() throws {
        let (key, _) = try MasterKey.generate()
        let sealed = try (0..<2).map { _ in try key.seal(secret("a secret of some length"), for: Self.place) }
        #expect(sealed[0] != sealed[1])
        #expect(sealed[0].count == 23 + 28)
        #expect(sealed[0].firstRange(of: Array("secret".utf8)) == nil)
    }

    @Test func `what was sealed for one place opens in no other`() throws {
        let (key, _) = try MasterKey.generate()
        let sealed = try key.seal(secret("s"), for: Self.place)
        #expect(text(try key.open(sealed, from: Self.place)) == "s")
        for place in [
            SealedPlace(purpose: "credential", table: "signing_keys", id: "k1", version: 1),
            SealedPlace(purpose: "signing-key", table: "signing_key", id: "k1", version: 1),
            SealedPlace(purpose: "signing-key", table: "signing_keys", id: "k2", version: 1),
            SealedPlace(purpose: "signing-key", table: "signing_keys", id: "k1", version: 2),
            SealedPlace(purpose: "signing-key", table: "signing_keys", id: "k1\0", version: 1),
            SealedPlace(purpose: "signing-key", table: "signing_keys", id: "", version: 1),
            // The same text but for where one part ends and the next begins.
            SealedPlace(purpose: "signing-keys", table: "igning_keys", id: "k1", version: 1),
            SealedPlace(purpose: "signing-key", table: "signing_keysk", id: "1", version: 1),
            SealedPlace(purpose: "signing-key", table: "signing_keys", id: "k", version: 11),
            SealedPlace(purpose: "", table: "signing-keysigning_keys", id: "k1", version: 1),
        ] {
            #expect(throws: OpenSSLError.self) { try key.open(sealed, from: place) }
        }
    }

    @Test func `no part of a sealed place can pose as the length of the next`() throws {
        let (key, _) = try MasterKey.generate()
        let sealed = try key.seal(
            secret("s"), for: SealedPlace(purpose: "a\0\0\0\u{1}b", table: "", id: "", version: 1))
        #expect(throws: OpenSSLError.self) {
            try key.open(sealed, from: SealedPlace(purpose: "a", table: "b", id: "", version: 1))
        }
    }

    @Test func `what was sealed with one key opens with no other`() throws {
        let (key, other) = (try MasterKey.generate().0, try MasterKey.generate().0)
        let sealed = try key.seal(secret("s"), for: Self.place)
        #expect(throws: OpenSSLError.self) { try other.open(sealed, from: Self.place) }
    }

    @Test func `a sealed value with any bit changed, cut or lengthened does not open`() throws {
        let (key, _) = try MasterKey.generate()
        let sealed = try key.seal(secret("secret"), for: Self.place)
        for index in sealed.indices {
            var altered = sealed
            altered[index] ^= 1 << UInt8(index % 8)
            #expect(throws: OpenSSLError.self) { try key.open(altered, from: Self.place) }
            #expect(throws: OpenSSLError.self) { try key.open(Array(sealed[..<index]), from: Self.place) }
        }
        #expect(throws: OpenSSLError.self) { try key.open(sealed + [0], from: Self.place) }
        #expect(throws: OpenSSLError.self) { try key.open([0] + sealed, from: Self.place) }
    }
}
