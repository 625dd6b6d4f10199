import BrokerTesting
import Foundation
import JOSE
import Testing

@testable import Broker

/// What would have to be otherwise for a rule to match.
@Suite struct TriedRuleTests {
    private func change(_ matcher: ClaimMatcher, _ claims: JSONObject) async throws -> JSONObject {
        let rules = try Fixture.rules(Fixture.rule(match: [matcher]))
        let explanation = try #require(rules.match(try await Fixture.subject(claims), naming: nil).explanation)
        let changes = try #require(explanation.json["rules"]?.array?.first?.object.flatMap(TriedRule.init)).changes
        #expect(changes.count == 1)
        return changes[0]
    }

    @Test func `the claim's value, or the line of the rule that takes it as well`() async throws {
        let change = try await change(Fixture.matcher("ref", ["refs/heads/main", "v*"]), ["ref": "refs/heads/dev"])
        #expect(
            change == [
                "claim": "ref", "to": ["refs/heads/main", "v*"],
                "or_rule": #""ref": ["refs/heads/main","v*","refs/heads/dev"]"#,
            ])
    }

    /// Whatever a token says, the suggested line matches it and no more than it.
    @Test(arguments: [
        "a*", "**", "\\", "\\*", "a\"b", "a: [b]", "\u{1B}[2J", "e\u{301}", "\u{202E}x", "#", "- a", "a\nb", "\u{0}",
        "true", "\u{9B}", "\u{FEFF}x", "a\u{2028}b\u{85}c", "\u{7F}", "\u{E0001}",
    ])
    func `the suggested pattern is the hostile value itself, without wildcards`(_ value: String) async throws {
        let change = try await change(Fixture.matcher("name", ["x"]), ["name": .string(ExactString(value))])
        let line = try #require(change["or_rule"]?.string?.string)
        let values = try JSONReader.read(Array(line.dropFirst(#""name": "#.count).utf8)).array
        let pattern = try #require(values?.last?.string)
        let glob = try Glob(parsing: pattern.string)
        #expect(glob.matches(ExactString(value)) && !glob.hasWildcard)
        #expect(!line.contains("\n"))
        // None that YAML takes for no text, or for the end of a line.
        #expect(
            !line.unicodeScalars.contains { (0x7F...0x9F).contains($0.value) || $0 == "\u{FEFF}" || $0 == "\u{2028}" })
    }

    @Test func `truth and numbers are suggested without quotes`() async throws {
        let matcher = try Fixture.matcher("n", .number(1), .bool(true))
        #expect(try await change(matcher, ["n": 2])["or_rule"] == #""n": [1,true,2]"#)
        // And stay what they are where the token has a text.
        #expect(try await change(matcher, ["n": "2"])["or_rule"] == #""n": [1,true,"2"]"#)
    }

    @Test(
        arguments: [
            ("Main", ["main"], "they differ in upper and lower case alone"),
            ("main ", ["main"], "they differ in spaces, characters that are not seen, or in how a letter is written"),
            (
                "ma\u{200B}in", ["main"],
                "they differ in spaces, characters that are not seen, or in how a letter is written"
            ),
            (
                "caf\u{65}\u{301}", ["caf\u{e9}"],
                "they differ in spaces, characters that are not seen, or in how a letter is written"
            ),
            ("refs/heads/a/b", ["refs/heads/*"], "a * is no run of characters with / or : in it; ** is"),
            ("refs/heads/dev", ["refs/heads/main"], nil),
        ] as [(String, [String], String?)])
    func `what looks alike is hinted at`(_ got: String, _ wanted: [String], _ hint: String?) async throws {
        let change = try await change(Fixture.matcher("name", wanted), ["name": .string(ExactString(got))])
        #expect(change["hint"]?.string?.string == hint)
    }

    @Test func `values of another type are hinted at`() async throws {
        let text = try await change(Fixture.matcher("flag", ["true"]), ["flag": true])
        #expect(
            text["hint"] == "they differ in type: the rule wants a text, the token has none; write it without quotes")
        #expect(text["or_rule"] == nil)
        let truth = try await change(Fixture.matcher("flag", .bool(true)), ["flag": "true"])
        #expect(truth["hint"] == "they differ in type: the token has a text; write it in quotes")
        let object = try await change(Fixture.matcher("flag", ["a"]), ["flag": ["a": 1]])
        #expect(object["hint"] == "an object matches nothing: name a member of it, such as /flag/member")
        #expect(object["or_rule"] == nil)
        #expect(try await change(Fixture.matcher("flag", ["a"]), [:])["hint"] == "the token has no such claim")
        let long = try await change(
            Fixture.matcher("flag", ["a"]), ["flag": .string(ExactString(String(repeating: "x", count: 300)))])
        #expect(long["hint"] == "the value is long: it was kept by its digest" && long["or_rule"] == nil)
    }

    /// A line without the values that are not shown would keep out whom they let in.
    @Test(arguments: [(16, nil), (17, 1), (200, 184)] as [(Int, Double?)])
    func `of many values sixteen are kept, and the change is one to add to the others`(
        _ count: Int, _ omitted: Double?
    ) async throws {
        let values = (0..<count).map { "refs/heads/v\($0)" }
        let change = try await change(Fixture.matcher("ref", values), ["ref": "refs/heads/dev*"])
        #expect(change["to"]?.array?.count == 16 && change["omitted_to"]?.number == omitted)
        #expect((change["or_rule"] == nil) == (omitted != nil))
        #expect(change["or_rule_adds"]?.string?.string == (omitted == nil ? nil : #""refs/heads/dev\\*""#))
    }

    @Test(arguments: [
        "{}", #"{"rule":1,"failed":[]}"#, #"{"rule":"a"}"#, #"{"rule":"a","failed":{}}"#,
    ])
    func `what is no rule of an explanation is passed over`(_ text: String) throws {
        #expect(TriedRule(try JSONReader.readObject(Array(text.utf8))) == nil)
    }

    @Test func `a damaged explanation is shown as far as it goes`() throws {
        let text =
            #"{"rule":"a","failed":[1,{"claim":2},{"claim":"b","wanted":7},{"claim":"c","wanted":[1,"x"]}],"held":3}"#
        let rule = try #require(TriedRule(try JSONReader.readObject(Array(text.utf8))))
        #expect(rule.json(isNearest: true)["tests"]?.array?.count == 2)
        #expect(rule.changes.count == 2)
    }
}
