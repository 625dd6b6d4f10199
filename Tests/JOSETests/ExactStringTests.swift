import JOSE
import Testing

@Suite struct ExactStringTests {
    static let composed = ExactString("caf\u{E9}")
    static let decomposed = ExactString("cafe\u{301}")

    @Test func `text that Swift holds equal but has other bytes is different`() {
        #expect(Self.composed.string == Self.decomposed.string)
        #expect(Self.composed != Self.decomposed)
        #expect(Set([Self.composed, Self.decomposed]).count == 2)
        let object: JSONObject = [Self.composed: 1, Self.decomposed: 2]
        #expect(object[Self.composed] == 1)
        #expect(object[Self.decomposed] == 2)
        #expect((Self.composed < Self.decomposed) != (Self.decomposed < Self.composed))
    }

    @Test(arguments: [
        "", "a", "sixteen bytes..!", "a text that is too long to be stored in place", "\u{E9}", "e\u{301}", "\0", "a\0",
    ]) func `equal bytes are equal and hash alike, however the text is stored`(_ text: String) throws {
        let copies = try [
            ExactString(text), ExactString(String(decoding: Array(text.utf8), as: UTF8.self)),
            #require(ExactString(validating: Array(text.utf8)[...])),
            ExactString(String(("x" + text + "y").dropFirst().dropLast())),
        ]
        for copy in copies.dropLast(text.hasPrefix("\u{301}") ? 1 : 0) {
            #expect(copy == copies[0])
            #expect(copy.hashValue == copies[0].hashValue)
            #expect(!(copy < copies[0]))
        }
        #expect(ExactString(text + "\0") != copies[0])
        #expect(ExactString(text + "\0").hashValue != copies[0].hashValue)
    }

    @Test(
        arguments: [
            [0x80], [0xC0, 0x80], [0xC1, 0xBF], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80],
            [0xFF],
            [0x61, 0xC3], [0xF0, 0x9F, 0x98],
        ] as [[UInt8]]) func `bytes that are not UTF-8 are no text`(_ bytes: [UInt8])
    {
        #expect(ExactString(validating: bytes[...]) == nil)
    }

    @Test func `case is ignored only for ASCII letters`() {
        #expect(ExactString("JwT").equalsIgnoringASCIICase("jWt"))
        #expect(!ExactString("jwt").equalsIgnoringASCIICase("jw"))
        #expect(!ExactString("\u{212A}").equalsIgnoringASCIICase("k"))  // KELVIN SIGN
        #expect(!ExactString("@").equalsIgnoringASCIICase("`"))
        #expect(!ExactString("[").equalsIgnoringASCIICase("{"))
    }

    @Test(arguments: ["\0", "a\nb", "\u{1F}", "\u{7F}", "\r"]) func `control characters are found`(_ text: String) {
        #expect(ExactString(text).hasControlCharacters)
        #expect(!ExactString("plain text, \u{E9}").hasControlCharacters)
    }
}
