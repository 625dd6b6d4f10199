import Broker
import JOSE
import Testing

@Suite struct ClaimMatcherTests {
    struct Row: Sendable, CustomStringConvertible {
        let wanted: JSONValue
        let got: JSONValue
        let matches: Bool

        init(_ wanted: JSONValue, _ got: JSONValue, _ matches: Bool) {
            (self.wanted, self.got, self.matches) = (wanted, got, matches)
        }

        var description: String {
            String(decoding: wanted.encoded() + Array(" against ".utf8) + got.encoded(), as: UTF8.self)
        }
    }

    private static let rows: [Row] = [
        Row("true", "true", true), Row("true", true, false), Row(true, true, true), Row(true, "true", false),
        Row(true, false, false), Row(true, 1, false), Row(false, 0, false), Row(false, .null, false),
        Row(false, "", false),
        Row("1", "1", true), Row("1", 1, false), Row(1, 1, true), Row(1, "1", false),
        Row(1, JSONValue.number(1.5), false),
        Row(0, JSONValue.number(-0.0), true), Row(1, true, false), Row("null", .null, false), Row("*", .null, false),
        Row("**", .null, false), Row("**", true, false), Row("**", 1, false), Row("**", [:], false),
        Row("**", ["a": "b"], false),
        Row("**", "", true), Row("a", ["a", "b"], true), Row("b", ["a", "b"], true), Row("c", ["a", "b"], false),
        Row("a", [], false), Row("**", [], false), Row("a", [["a"]], false), Row("a", [.null, "a"], true),
        Row("a,b", ["a", "b"], false), Row("a", [["a": "a"]], false), Row(true, ["true", true], true),
        Row(1, ["1"], false),
        Row("a", "a\n", false), Row("a", "A", false), Row("caf\u{E9}", "cafe\u{301}", false),
    ]

    @Test(arguments: rows)
    func `types are kept apart, an array matches by containing, null and objects never match`(row: Row) throws {
        let matcher = ClaimMatcher(claim: try #require(ClaimPath(parsing: "claim")), anyOf: [try pattern(row.wanted)])
        #expect(matcher.matches(["claim": row.got]) == row.matches)
    }

    @Test func `a claim that is missing matches nothing`() throws {
        for wanted: JSONValue in ["**", true, false, 0, "null"] {
            let matcher = ClaimMatcher(claim: try #require(ClaimPath(parsing: "claim")), anyOf: [try pattern(wanted)])
            #expect(!matcher.matches([:]))
            #expect(!matcher.matches(["Claim": wanted, "claim ": wanted, "clai": wanted]))
        }
    }

    @Test func `a list means any of, across types`() throws {
        let matcher = try Fixture.matcher("claim", .glob("push"), .bool(true), .number(7))
        for value: JSONValue in ["push", true, 7, ["x", 7]] { #expect(matcher.matches(["claim": value])) }
        for value: JSONValue in ["7", false, 8, "true", ["x", "7"]] { #expect(!matcher.matches(["claim": value])) }
    }

    @Test(arguments: [
        (["a"], true), (["a", "b"], true), (["a", "b*"], false), (["**"], false), ([#"\*"#], true),
    ])
    func `a list with one wildcard pins nothing`(texts: [String], isExact: Bool) throws {
        #expect(try Fixture.matcher("claim", texts).isExact == isExact)
    }

    private func pattern(_ value: JSONValue) throws -> ClaimMatcher.Pattern {
        switch value {
        case .string(let text): try .glob(text.string)
        case .bool(let bool): .bool(bool)
        case .number(let number): .number(number)
        default: throw Unexpected()
        }
    }

    private struct Unexpected: Error {}
}
