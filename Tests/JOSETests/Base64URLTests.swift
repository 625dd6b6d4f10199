import Foundation
import JOSE
import Testing

@Suite struct Base64URLTests {
    static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    static func decoded(_ text: [UInt8]) -> [UInt8]? {
        try? Base64URL.decode(text[...])
    }

    /// RFC 4648 §10, without padding, and RFC 7515 appendix C.
    @Test(arguments: [
        ("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE"),
        ("foobar", "Zm9vYmFy"),
    ]) func `the published examples come out`(_ plain: String, _ encoded: String) throws {
        #expect(Base64URL.encode(Array(plain.utf8)) == encoded)
        #expect(try Base64URL.decode(ExactString(encoded)) == Array(plain.utf8))
    }

    @Test func `the two characters of the URL alphabet are in use`() throws {
        #expect(Base64URL.encode([3, 236, 255, 224, 193]) == "A-z_4ME")
        #expect(try Base64URL.decode("A-z_4ME") == [3, 236, 255, 224, 193])
    }

    /// Every text of up to two bytes, and every text of three and four from a part of all bytes: it decodes only if it is
    /// the very text that its bytes encode to, and each value of one and two bytes is reached once.
    @Test func `short text decodes only if it is the one spelling of its value`() {
        var reached: [[UInt8]: Int] = [:]
        func check(_ text: [UInt8]) {
            guard let bytes = Self.decoded(text) else { return }
            if Array(Base64URL.encode(bytes).utf8) != text { Issue.record("\(text) is a second spelling of \(bytes)") }
            if bytes.count <= 2 { reached[bytes, default: 0] += 1 }
        }
        let all = (0...255).map { UInt8($0) }
        check([])
        for a in all {
            check([a])
            for b in all { check([a, b]) }
        }
        let some = Self.alphabet + Array("=+/ \n.\0%~".utf8) + [0x80, 0xFF]
        for a in some { for b in some { for c in some { check([a, b, c]) } } }
        #expect(reached.count == 1 + 256 + 65536)
        #expect(reached.values.allSatisfy { $0 == 1 })
    }

    @Test func `every byte outside of the alphabet is refused in every place`() {
        for byte in 0...255 where !Self.alphabet.contains(UInt8(byte)) {
            for place in 0..<4 {
                var text = Array("Zm9v".utf8)
                text[place] = UInt8(byte)
                #expect(throws: Base64URLFailure.character) { try Base64URL.decode(text[...]) }
            }
        }
    }

    @Test(arguments: [
        ("Zg==", Base64URLFailure.character), ("Zm8=", .character), ("Zm9v=", .length), ("Zm9v====", .character),
        ("Z", .length), ("Zm9vY", .length), ("Zh", .unusedBits), ("Zm9", .unusedBits), ("Zm9vYh", .unusedBits),
        (" Zg", .character), ("Zg\n", .character), ("Zg\r\n", .character), ("Zm 9", .character), ("+_-/", .character),
    ]) func `padding, white space, another alphabet and unused bits are refused`(
        _ text: String, _ failure: Base64URLFailure
    ) {
        #expect(throws: failure) { try Base64URL.decode(ExactString(text)) }
    }

    @Test func `it agrees with Foundation on bytes of every length`() throws {
        var generator = SeededGenerator(seed: 3)
        for length in 0..<300 {
            let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) }
            let encoded = Data(bytes).base64EncodedString()
                .replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
            #expect(Base64URL.encode(bytes) == encoded)
            #expect(try Base64URL.decode(ExactString(encoded)) == bytes)
        }
    }
}

/// SplitMix64: the same numbers in every run.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
