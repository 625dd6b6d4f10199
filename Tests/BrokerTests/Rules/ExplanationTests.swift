import Broker
import Foundation
import JOSE
import OpenSSL
import Testing

@Suite struct ExplanationTests {
    @Test func `each claim that failed is named with what was wanted and what was there`() async throws {
        let rules = try Fixture.rules(
            Fixture.rule("far", texts: [("sub", ["bob"]), ("ref", ["refs/heads/main"]), ("event", ["push", "tag"])]),
            Fixture.rule(
                "near",
                match: [Fixture.matcher("sub", ["alice"]), Fixture.matcher("protected", .bool(true), .number(7))]))
        let subject = try await Fixture.subject(["ref": "refs/heads/dev", "protected": "true"])
        let explanation = try #require(rules.match(subject, naming: nil).explanation)
        #expect(
            JSONValue.object(explanation.json) == [
                "rules": [
                    [
                        "rule": "near",
                        "failed": [["claim": "protected", "wanted": [true, 7], "got": "true"]],
                        "held": [["claim": "sub", "wanted": ["alice"], "got": "alice"]],
                    ],
                    [
                        "rule": "far",
                        "failed": [
                            ["claim": "sub", "wanted": ["bob"], "got": "alice"],
                            ["claim": "ref", "wanted": ["refs/heads/main"], "got": "refs/heads/dev"],
                            ["claim": "event", "wanted": ["push", "tag"]],
                        ],
                    ],
                ]
            ])
    }

    @Test func `the rule that a caller named is in it, and no other`() async throws {
        let rules = try Fixture.rules(
            Fixture.rule("near", texts: [("sub", ["bob"])]), Fixture.rule("far", texts: [("ref", ["main"])]))
        let subject = try await Fixture.subject()
        let explanation = try #require(rules.match(subject, naming: "far").explanation)
        #expect(explanation.json["named"] == "far")
        #expect(explanation.rules.map(\.rule) == ["far"])
        #expect(try #require(rules.match(subject, naming: "none").explanation).rules.isEmpty)
    }

    @Test func `a long value is there only by its digest, text, array or object`() async throws {
        let long = String(repeating: "x", count: 300)
        let values: [JSONValue] = [
            .string(ExactString(long)), .array([.string(ExactString(long))]), ["a": .string(ExactString(long))],
            .array(Array(repeating: "abcdefgh", count: 40)),
        ]
        for value in values {
            let rules = try Fixture.rules(Fixture.rule(texts: [("claim", ["short"])]))
            let subject = try await Fixture.subject(["claim": value])
            let explanation = try #require(rules.match(subject, naming: nil).explanation)
            let digest = Base64URL.encode(HashAlgorithm.sha256.digest(value.encoded()))
            #expect(
                explanation.rules[0].claims[0].got
                    == ["sha256": .string(ExactString(digest)), "bytes": .number(Double(value.encoded().count))])
            #expect(!String(decoding: explanation.json.encoded(), as: UTF8.self).contains("xxxx"))
        }
    }

    @Test func `a long name that a caller made up does not fill the record`() async throws {
        let rules = try Fixture.rules(Fixture.rule(texts: [("sub", ["bob"])]))
        let name = ExactString(String(repeating: "n", count: 100_000))
        let explanation = try #require(rules.match(try await Fixture.subject(), naming: name).explanation)
        #expect(explanation.json.encoded().count < 300)
        #expect(explanation.named?.object?["bytes"] == 100_000)
    }

    @Test func `fifty rules are listed, the nearest, and the others are counted`() async throws {
        let far = try (0..<60).map { try Fixture.rule("far\($0)", texts: [("sub", ["bob"]), ("ref", ["x"])]) }
        let near = try Fixture.rule("near", texts: [("sub", ["bob"])])
        let rules = try RuleSet(far + [near], issuers: [Fixture.configuration(Fixture.quick)], broker: Fixture.broker)
        let explanation = try #require(rules.match(try await Fixture.subject(), naming: nil).explanation)
        #expect(explanation.rules.count == 50)
        #expect(explanation.rules[0].rule == "near")
        #expect(explanation.omittedRules == 11)
        #expect(explanation.json["omitted_rules"] == 11)
    }

    @Test func `of the ten nearest rules also what held is named`() async throws {
        let rules = try RuleSet(
            (0..<12).map { try Fixture.rule("r\($0)", texts: [("sub", ["alice"]), ("ref", ["x"])]) },
            issuers: [Fixture.configuration(Fixture.quick)], broker: Fixture.broker)
        let explanation = try #require(rules.match(try await Fixture.subject(), naming: nil).explanation)
        #expect(explanation.rules.map(\.held.count) == Array(repeating: 1, count: 10) + [0, 0])
        #expect(explanation.rules[0].held[0].claim == "sub")
    }

    @Test func `rules with many values make no large record, and the nearest is always there`() async throws {
        let values = (0..<200).map { "refs/heads/\($0)-" + String(repeating: "x", count: 400) }
        let rules = try RuleSet(
            (0..<40).map { try Fixture.rule("r\($0)", texts: [("ref", values)]) },
            issuers: [Fixture.configuration(Fixture.quick)], broker: Fixture.broker)
        let explanation = try #require(rules.match(try await Fixture.subject(), naming: nil).explanation)
        #expect((1..<40).contains(explanation.rules.count))
        #expect(explanation.rules.count + explanation.omittedRules == 40)
        #expect(explanation.json.encoded().count < 70 * 1024)
        let nearest = try #require(explanation.rules.first?.claims.first).wanted
        #expect(nearest.shown.count == 16 && nearest.omitted == 184)
    }

    /// An issuer that many share signs what its users choose; what they can make us keep has to stay small.
    @Test func `a large claim that many rules read makes no large record`() async throws {
        let groups = JSONValue.array((0..<1000).map { .string(ExactString("g\($0)")) })
        let rules = try RuleSet(
            (0..<100).map { try Fixture.rule("r\($0)", texts: [("groups", ["admins\($0)"])]) },
            issuers: [Fixture.configuration(Fixture.quick)], broker: Fixture.broker)
        let explanation = try #require(
            rules.match(try await Fixture.subject(["groups": groups]), naming: nil).explanation)
        #expect(explanation.json.encoded().count < 16 * 1024)
    }
}
