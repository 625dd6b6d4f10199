import JOSE
import Testing

@Suite struct JSONReaderTests {
    static func read(_ text: String) throws(JSONFailure) -> JSONValue {
        try JSONReader.read(Array(text.utf8))
    }

    static func reason(_ bytes: [UInt8]) -> JSONFailure.Reason? {
        do throws(JSONFailure) {
            _ = try JSONReader.read(bytes)
            return nil
        } catch {
            return error.reason
        }
    }

    static let values: [(String, JSONValue)] = [
        ("null", JSONValue.null), ("true", true), ("false", false), (" \t\r\n1 \n", 1), ("\"\"", ""), ("[]", []),
        ("{}", [:]), ("[1,[],{}]", [1, [], [:]]), (#"{"a":1,"b":{"a":2}}"#, ["a": 1, "b": ["a": 2]]),
        ("[ 1 , 2 ]", [1, 2]), (#"{ "a" : null }"#, ["a": .null]), (#"{"":0}"#, ["": 0]),
        (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"), (#""\u0041\u00e9\u00E9\u20ac""#, "A\u{E9}\u{E9}\u{20AC}"),
        (#""\ud83d\ude00""#, "\u{1F600}"), ("\"\u{1F600}\"", "\u{1F600}"), (#""\u0000""#, "\0"),
        ("\"\u{7F}\"", "\u{7F}"), (#""\uFFFF""#, "\u{FFFF}"), (#""a\u0062c""#, "abc"),
    ]

    @Test(arguments: values) func `a value is read as what it says`(_ text: String, _ value: JSONValue) throws {
        #expect(try Self.read(text) == value)
    }

    @Test(arguments: [
        ("0", 0), ("-0", 0), ("1", 1), ("-1", -1), ("1.5", 1.5), ("-0.5", -0.5), ("1e3", 1000), ("1E+3", 1000),
        ("15e-1", 1.5), ("0.1", 0.1), ("0e0", 0), ("0e400", 0), ("1e-400", 0),
        ("9007199254740991", 9_007_199_254_740_991),
        ("9007199254740992", 9_007_199_254_740_992), ("-9007199254740992", -9_007_199_254_740_992),
        ("1700000000.25", 1_700_000_000.25), ("9007199254740990.5", 9_007_199_254_740_990),
    ]) func `a number within bounds is read`(_ text: String, _ value: Double) throws {
        #expect(try Self.read(text) == .number(value))
    }

    @Test func `where only some members are known, another one is refused before its value is read`() throws {
        func read(_ text: String) throws(JSONFailure) -> JSONObject {
            try JSONReader.readObject(Array(text.utf8), depth: 3, known: ["a", "b"])
        }
        #expect(try read(#" {"a":{"c":1},"b":[{"d":1}]} "#) == ["a": ["c": 1], "b": [["d": 1]]])
        #expect(try read("{}") == [:])
        for (text, reason) in [
            (#"{"c":1}"#, .unknownMember), (#"{"a":1,"c":"\x"}"#, .unknownMember), (#"{"c":"#, .unknownMember),
            (#"{"c":secret"#, .unknownMember), (#"{"\u0063":secret"#, .unknownMember), (#""secret""#, .notAnObject),
            ("", .notAnObject), (#"["a"]"#, .notAnObject), (#"{"a":1,"a":2}"#, .duplicateMember),
            (#"{"a":1} x"#, .trailing), (#"{"a":[[[]]]}"#, .depth),
        ] as [(String, JSONFailure.Reason)] {
            let failure = #expect(throws: JSONFailure.self) { try read(text) }
            #expect(failure?.reason == reason, "\(text)")
        }
    }

    @Test func `a large integer is its digits, where whoever reads can use them`() throws {
        func read(_ text: String) throws(JSONFailure) -> JSONValue {
            try JSONReader.read(Array(text.utf8), largeIntegers: .asText)
        }
        #expect(try read("9007199254740993") == "9007199254740993")
        #expect(
            try read("[18446744073709551615, -9223372036854775808]") == [
                "18446744073709551615", "-9223372036854775808",
            ])
        #expect(try read("9007199254740992") == .number(0x1p53))
        for text in [String(repeating: "9", count: 22), "-012345678901234567890", "1e19", "9007199254740993.0"] {
            #expect(throws: JSONFailure.self) { try read(text) }
        }
    }

    @Test(arguments: [
        "1e400", "-1e400", "1e19", "1e16", "9007199254740993", "-9007199254740993", "9007199254740992.0",
        "9007199254740992.5", "9.007199254740993e15", "18446744073709551616", "99999999999999999999999999999999999",
        "01", "-01", "00", "1.", ".5", "-.5", "-", "+1", "1e", "1e+", "1.e1", "--1", "1.2.3", "0x10", "1_000",
        "NaN", "nan", "Infinity", "-Infinity", "1e1e1", "\u{661}",
        "0." + String(repeating: "1", count: 100), "1e" + String(repeating: "0", count: 100),
    ]) func `a number that is malformed, beyond 2 to the 53 or overlong is refused`(_ text: String) {
        #expect(throws: JSONFailure.self) { try Self.read(text) }
        #expect(throws: JSONFailure.self) { try Self.read("[\(text)]") }
        #expect(throws: JSONFailure.self) { try Self.read(#"{"exp":\#(text)}"#) }
    }

    @Test(arguments: [
        #"{"a":1,"a":1}"#, #"{"aud":"x","\u0061ud":"y"}"#, #"{"alg":"RS256","kid":"","alg":"none"}"#, #"{"":1,"":2}"#,
        #"{"a\/b":1,"a/b":2}"#, #"{"x":{"sub":1,"sub":2}}"#, #"[{"\ud83d\ude00":1,"😀":1}]"#,
        #"{"\u0000":1,"\u0000":2}"#,
    ]) func `a member that stands twice is refused, also when one is escaped`(_ text: String) {
        #expect(Self.reason(Array(text.utf8)) == .duplicateMember)
    }

    @Test func `a member that stands twice is found among very many`() {
        let members = (0..<20_000).map { #""member\#($0)":0"# }
        let once = "{" + members.joined(separator: ",") + "}"
        #expect(Self.reason(Array(once.utf8)) == nil)
        for place in [0, 15, 16, 17, 18, 9_999, 19_999] {
            let twice = "{" + (members + [members[place]]).joined(separator: ",") + "}"
            #expect(Self.reason(Array(twice.utf8)) == .duplicateMember)
        }
    }

    @Test func `names that differ in bytes only are two members`() throws {
        let object = try #require(Self.read("{\"caf\u{E9}\":1,\"cafe\u{301}\":2}").object)
        #expect(object["caf\u{E9}"] == 1)
        #expect(object["cafe\u{301}"] == 2)
    }

    @Test(arguments: [("[", "]"), (#"{"a":"#, "}")]) func `nesting ends at eight`(open: String, close: String) throws {
        func nested(_ depth: Int) -> [UInt8] {
            let inner = open == "[" ? "" : "0"
            return Array((String(repeating: open, count: depth) + inner + String(repeating: close, count: depth)).utf8)
        }
        #expect(Self.reason(nested(8)) == nil)
        #expect(Self.reason(nested(9)) == .depth)
        #expect(Self.reason(nested(100_000)) == .depth)
        #expect(Self.reason(Array(String(repeating: open, count: 100_000).utf8)) == .depth)
        // Depth is given back on the way out.
        let siblings = "[" + String(repeating: "[[[[[[[]]]]]]],", count: 50) + "0]"
        #expect(Self.reason(Array(siblings.utf8)) == nil)
        _ = try JSONReader.read(nested(20), depth: 20)
        #expect(throws: JSONFailure.self) { try JSONReader.read(Array("[]".utf8), depth: 0) }
    }

    @Test(arguments: [
        #""\ud800""#, #""\udc00""#, #""\ud800x""#, #""\ud800\n""#, #""\ud800\u0041""#, #""\ud800\ud800""#,
        #""\udc00\ud800""#,
    ]) func `half a surrogate pair is refused`(_ text: String) {
        #expect(Self.reason(Array(text.utf8)) == .surrogate)
    }

    @Test(
        arguments: [
            [0x80], [0xC0, 0xAF], [0xC1, 0xBF], [0xE0, 0x80, 0xAF], [0xED, 0xA0, 0x80], [0xED, 0xBF, 0xBF],
            [0xF4, 0x90, 0x80, 0x80], [0xF8, 0x88, 0x80, 0x80, 0x80], [0xFF], [0xC3], [0xE2, 0x82],
        ] as [[UInt8]]) func `a string that is not UTF-8 is refused, overlong forms and surrogates included`(
            _ bytes: [UInt8]
        )
    {
        #expect(Self.reason([0x22] + bytes + [0x22]) == .notUTF8)
        #expect(Self.reason(Array(#""\n"#.utf8) + bytes + [0x22]) == .notUTF8)
        #expect(Self.reason(Array(#"{""#.utf8) + bytes + Array(#"":0}"#.utf8)) == .notUTF8)
        #expect(Self.reason(bytes) == .unexpected)
    }

    @Test func `a control character in a string is refused unless escaped`() {
        for byte in UInt8(0)..<0x20 {
            #expect(Self.reason([0x22, byte, 0x22]) != nil)
            #expect(Self.reason([0x22, 0x5C, 0x6E, byte, 0x22]) == .controlCharacter)
            #expect(Self.reason(Array("\"\\u00\(byte < 16 ? "0" : "")\(String(byte, radix: 16))\"".utf8)) == nil)
        }
    }

    @Test(arguments: [
        "", " ", "\u{FEFF}{}", "{}\u{FEFF}", "{} {}", "{}x", "null null", "1 2", "{}\0", "\0", "\0{}", "\u{A0}{}",
        "\u{B}1",
        "\u{C}1", "{", "}", "[", "]", "[1", "[1,", "[1,]", "[,1]", "[,]", "[1 2]", "[1;2]", #"{"a"}"#, #"{"a":}"#,
        #"{"a":1,}"#, #"{,"a":1}"#, #"{"a" 1}"#, #"{"a":1 "b":2}"#, "{a:1}", "{1:1}", "{'a':1}", "'a'", #"{"a":1]"#,
        "[1}",
        #""a"#, #"""#, #""\"#, #""\x""#, #""\u""#, #""\u12""#, #""\u12g4""#, #""\u 123""#, #""\u+123""#, #""\U0041""#,
        #""\"#, "tru", "truE", "True", "TRUE", "nul", "nulll", "truefalse", "undefined", "// c\n1", "1//", "/**/1", "#",
    ]) func `text that is no single JSON value is refused`(_ text: String) {
        #expect(throws: JSONFailure.self) { try Self.read(text) }
    }

    @Test func `only an object is an object`() {
        for text in ["[]", "null", "1", "\"{}\"", "[{}]"] {
            #expect {
                try JSONReader.readObject(Array(text.utf8))
            } throws: {
                ($0 as? JSONFailure)?.reason == .notAnObject
            }
        }
    }

    @Test func `a failure says where and holds none of the text`() {
        #expect {
            try Self.read(#"{"password":"hunter2","x":}"#)
        } throws: { error in
            guard let failure = error as? JSONFailure else { return false }
            return failure.offset == 26 && !"\(failure)".contains("hunter2") && "\(failure)".contains("byte 26")
        }
    }
}
