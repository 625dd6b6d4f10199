import Foundation
import JOSE
import Testing

/// What we read and write means the same to us again and to a parser that nobody here wrote.
@Suite struct JSONRoundTripTests {
    @Test func `every generated document survives being written and read`() throws {
        var writer = DocumentGenerator(seed: 1)
        for _ in 0..<3000 {
            let document = writer.document(depth: 7)
            guard let value = try? JSONReader.read(document) else { continue }
            let encoded = value.encoded()
            #expect(try JSONReader.read(encoded) == value)
            #expect(try JSONReader.read(encoded).encoded() == encoded)
        }
    }

    /// Sound documents and ones with a byte changed, left out or put in: whatever we accept Foundation accepts too, and
    /// reads as the same value. The other way round we may refuse more.
    @Test func `whatever is accepted here Foundation accepts with the same meaning`() throws {
        var writer = DocumentGenerator(seed: 2)
        var (sound, damaged) = (0, 0)
        for round in 0..<12_000 {
            var document = writer.document(depth: 4)
            if round % 4 != 0 { writer.damage(&document) }
            guard let value = try? JSONReader.read(document) else { continue }
            if round % 4 == 0 { sound += 1 } else { damaged += 1 }
            let text = String(decoding: document, as: UTF8.self)
            // Foundation's decoder knows no zero with an exponent, such as 0e1, which RFC 8259 §6 allows.
            guard text.firstMatch(of: /(^|[^0-9.])0[eE]/) == nil else { continue }
            let other = try #require(try? JSONDecoder().decode(Foreign.self, from: Data(document)), "\(text)")
            #expect(other.value == value, "\(text)")
        }
        #expect(sound > 1000)
        #expect(damaged > 300)
    }

    @Test(arguments: [
        (0.0, "0"), (-0.0, "0"), (1, "1"), (-1, "-1"), (0x1p53, "9007199254740992"), (-0x1p53, "-9007199254740992"),
        (1.5, "1.5"), (0.1, "0.1"), (1e-7, "1e-07"), (1_700_000_000, "1700000000"), (.leastNonzeroMagnitude, "5e-324"),
    ]) func `a number is written so that it reads the same`(_ number: Double, _ text: String) throws {
        #expect(String(decoding: JSONValue.number(number).encoded(), as: UTF8.self) == text)
        #expect(try JSONReader.read(Array(text.utf8)) == .number(number))
    }

    @Test func `text is written with everything escaped that has to be`() {
        let text: JSONValue = .string(ExactString("a\"b\\c/\n\0\u{1F}\u{7F}\u{E9}\u{1F600}"))
        let expected = #""a\"b\\c/\u000a\u0000\u001f\u007f"# + "\u{E9}\u{1F600}\""
        #expect(String(decoding: text.encoded(), as: UTF8.self) == expected)
    }

    @Test func `objects are equal in any order and by every member`() {
        let one: JSONObject = ["a": 1, "b": 2]
        #expect(one == ["b": 2, "a": 1])
        #expect(one.hashValue == (["b": 2, "a": 1] as JSONObject).hashValue)
        for other in [["a": 1], ["a": 1, "b": 3], ["a": 1, "c": 2], ["a": 1, "b": 2, "c": 3], [:]] as [JSONObject] {
            #expect(one != other)
        }
        var large = JSONObject()
        for number in 0..<100 {
            let isNew = large.append(ExactString("\(number)"), .number(Double(number)))
            #expect(isNew)
        }
        let isAgainNew = large.append("50", .null)
        #expect(!isAgainNew)
        #expect(large["50"] == 50)
        #expect(large["100"] == nil)
    }
}

/// A value as Foundation's decoder reads it. (`JSONSerialization` reads the same text, but some of its numbers are a digit
/// off, since they pass through a decimal.)
private struct Foreign: Decodable {
    let value: JSONValue

    private struct Name: CodingKey {
        let stringValue: String
        let intValue: Int? = nil
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    init(from decoder: any Decoder) throws {
        if let members = try? decoder.container(keyedBy: Name.self) {
            var object = JSONObject()
            for name in members.allKeys {
                let isNew = object.append(
                    ExactString(name.stringValue), try members.decode(Foreign.self, forKey: name).value)
                #expect(isNew)
            }
            value = .object(object)
        } else if var elements = try? decoder.unkeyedContainer() {
            var array: [JSONValue] = []
            while !elements.isAtEnd { array.append(try elements.decode(Foreign.self).value) }
            value = .array(array)
        } else {
            let single = try decoder.singleValueContainer()
            if single.decodeNil() {
                value = .null
            } else if let bool = try? single.decode(Bool.self) {
                value = .bool(bool)
            } else if let string = try? single.decode(String.self) {
                value = .string(ExactString(string))
            } else {
                value = .number(try single.decode(Double.self))
            }
        }
    }
}

/// Writes JSON text of every shape that our reader accepts, and damages it.
private struct DocumentGenerator {
    private var generator: SeededGenerator

    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    mutating func document(depth: Int) -> [UInt8] { Array(value(depth).utf8) }

    mutating func damage(_ document: inout [UInt8]) {
        let place = Int.random(in: 0..<max(document.count, 1), using: &generator)
        let byte = Array("{}[]\",:.-+eE019 \t\n\\u/tfn\0d8".utf8).randomElement(using: &generator) ?? 0
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: document[place] = byte
        case 1: document.insert(byte, at: place)
        case 2: document.remove(at: place)
        default: document.swapAt(place, Int.random(in: 0..<document.count, using: &generator))
        }
    }

    private mutating func value(_ depth: Int) -> String {
        switch Int.random(in: 0..<(depth > 0 ? 8 : 5), using: &generator) {
        case 0: return pick(["null", "true", "false"])
        case 1, 2: return number()
        case 3, 4: return string()
        case 5, 6:
            let members = (0..<Int.random(in: 0..<5, using: &generator)).map { index in
                space() + "\"\(index)" + string().dropFirst() + space() + ":" + space() + value(depth - 1)
            }
            return "{" + members.joined(separator: ",") + space() + "}"
        default:
            let elements = (0..<Int.random(in: 0..<5, using: &generator)).map { _ in space() + value(depth - 1) }
            return "[" + elements.joined(separator: ",") + space() + "]"
        }
    }

    private mutating func number() -> String {
        pick(["", "-"]) + pick(["0", "1", "42", "1700000000", "9007199254740992"])
            + pick(["", "", ".5", ".25", ".0", "e1", "E-2", "e+0", "e400"])
    }

    private mutating func string() -> String {
        let parts = (0..<Int.random(in: 0..<4, using: &generator)).map { _ in
            pick([
                "a", "aud", "\u{E9}", "\u{1F600}", #"\n"#, #"\""#, #"\\"#, #"\/"#, #"\u00e9"#, #"\ud83d\ude00"#,
                #"\u0000"#, " ",
            ])
        }
        return "\"" + parts.joined() + "\""
    }

    private mutating func space() -> String { pick(["", "", "", " ", "\n", "\t\r "]) }

    private mutating func pick(_ choices: [String]) -> String { choices.randomElement(using: &generator) ?? "" }
}
