import Testing
import VectorFiles

@testable import OpenSSL

@Suite struct AESGCMTests {
    struct KnownAnswer: Sendable {
        let key, nonce, plaintext, associatedData, ciphertext, tag: String
    }

    /// Test cases 13, 14 and 16 of McGrew and Viega's specification of GCM.
    static let knownAnswers = [
        KnownAnswer(
            key: String(repeating: "00", count: 32), nonce: String(repeating: "00", count: 12),
            plaintext: "", associatedData: "", ciphertext: "", tag: "530f8afbc74536b9a963b4f1c4cb738b"),
        KnownAnswer(
            key: String(repeating: "00", count: 32), nonce: String(repeating: "00", count: 12),
            plaintext: String(repeating: "00", count: 16), associatedData: "",
            ciphertext: "cea7403d4d606b6e074ec5d3baf39d18", tag: "d0d1c8a799996bf0265b98b5d48ab919"),
        KnownAnswer(
            key: "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
            nonce: "cafebabefacedbaddecaf888",
            plaintext: "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                + "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
            associatedData: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            ciphertext: "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                + "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
            tag: "76fc6ece0f4e1768cddf8853bb2d551b"),
    ]

    @Test(arguments: knownAnswers) func `the known answers of the specification come out`(
        _ answer: KnownAnswer
    ) throws {
        let key = try #require(AESGCMKey(SecretBytes([UInt8](hexadecimal: answer.key))))
        let plaintext = [UInt8](hexadecimal: answer.plaintext)
        let associatedData = [UInt8](hexadecimal: answer.associatedData)
        let sealed = try key.seal(
            plaintext.span, associatedData: associatedData, nonce: [UInt8](hexadecimal: answer.nonce))
        #expect(sealed.hexadecimal == answer.nonce + answer.ciphertext + answer.tag)
        #expect(try key.opened(sealed, associatedData: associatedData) == plaintext)
    }

    let key = AESGCMKey(SecretBytes([UInt8](repeating: 7, count: 32)))
    let context = Array("purpose".utf8)

    @Test(arguments: [0, 1, 15, 16, 17, 1000, 100_000]) func `what was sealed opens again`(_ length: Int) throws {
        let key = try #require(key)
        let plaintext = (0..<length).map { UInt8(truncatingIfNeeded: $0) }
        let sealed = try key.sealed(plaintext, associatedData: context)
        #expect(sealed.count == length + 28)
        #expect(try key.opened(sealed, associatedData: context) == plaintext)
    }

    @Test func `a sealed message with any bit changed does not open`() throws {
        let key = try #require(key)
        let sealed = try key.sealed(Array("a signing key".utf8), associatedData: context)
        for bit in 0..<(sealed.count * 8) {
            var altered = sealed
            altered[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(throws: OpenSSLError.self, "bit \(bit)") { try key.opened(altered, associatedData: context) }
        }
    }

    @Test func `a sealed message cut at any length or extended does not open`() throws {
        let key = try #require(key)
        let sealed = try key.sealed(Array("a signing key".utf8), associatedData: context)
        for length in 0..<sealed.count {
            #expect(throws: OpenSSLError.self, "\(length) bytes") {
                try key.opened(Array(sealed[..<length]), associatedData: context)
            }
        }
        #expect(throws: OpenSSLError.self) { try key.opened(sealed + [0], associatedData: context) }
    }

    @Test func `a sealed message does not open under another key or for another purpose`() throws {
        let key = try #require(key)
        let sealed = try key.sealed(Array("a signing key".utf8), associatedData: context)
        let other = try #require(AESGCMKey(SecretBytes([UInt8](repeating: 8, count: 32))))
        #expect(throws: OpenSSLError.self) { try other.opened(sealed, associatedData: context) }
        for associatedData in [[], Array("purposes".utf8), Array("purpos".utf8), context + [0]] {
            #expect(throws: OpenSSLError.self) { try key.opened(sealed, associatedData: associatedData) }
        }
    }

    @Test func `sealing twice never gives the same message`() throws {
        let key = try #require(key)
        let messages = try (0..<1000).map { _ in try key.sealed([1, 2, 3], associatedData: context) }
        #expect(Set(messages.map { Array($0[..<12]) }).count == 1000)
        #expect(Set(messages.map { Array($0[12...]) }).count == 1000)
    }

    @Test(arguments: [0, 1, 16, 24, 31, 33, 64]) func `a key of another length is refused`(_ length: Int) {
        #expect(AESGCMKey(SecretBytes([UInt8](repeating: 7, count: length))) == nil)
    }
}
