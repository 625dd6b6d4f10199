import Broker
import JOSE
import Testing

@Suite struct `Ids of a federation call` {
    private func ids(_ values: [FederationIDs.Parameter: ExactString]) -> FederationIDs {
        var ids = FederationIDs()
        for (parameter, value) in values { ids[parameter] = value }
        return ids
    }

    private func rule(_ values: [FederationIDs.Parameter: ExactString], named name: String = "sdk") throws -> Rule {
        try #require(
            Rule(
                name: name, issuer: Fixture.name(), matchers: [Fixture.matcher("sub", ["alice"])],
                federation: ids(values), terms: Fixture.terms()))
    }

    @Test func `a rule that lists none matches whatever a request names`() async throws {
        let rules = try Fixture.rules(rule([:]))
        let subject = try await Fixture.subject()
        for presented in [ids([:]), ids([.organization: "o", .serviceAccount: "s", .workspace: "w"])] {
            #expect(rules.match(subject, naming: nil, presenting: presented).grant != nil)
        }
    }

    @Test func `those that a rule lists have to be there and equal, the others do not matter`() async throws {
        let rules = try Fixture.rules(rule([.organization: "o", .workspace: "w"]))
        let subject = try await Fixture.subject()
        let good = ids([.organization: "o", .workspace: "w"])
        var more = good
        more[.serviceAccount] = "any"
        for presented in [good, more] {
            #expect(rules.match(subject, naming: "sdk", presenting: presented).grant != nil)
        }
    }

    @Test(
        arguments: [
            [:], [.organization: "o"], [.workspace: "w"], [.organization: "o", .workspace: "W"],
            [.organization: "w", .workspace: "o"], [.organization: "o", .serviceAccount: "w"],
            [.organization: "o", .workspace: "w "], [.organization: "o", .workspace: ""],
            [.organization: "o", .workspace: "*"], [.organization: "e\u{301}", .workspace: "w"],
        ] as [[FederationIDs.Parameter: ExactString]])
    func `a request that lacks one, or has another, is refused, by name and without`(
        _ presented: [FederationIDs.Parameter: ExactString]
    ) async throws {
        let rules = try Fixture.rules(rule([.organization: "o", .workspace: "w"]))
        let subject = try await Fixture.subject()
        for name in [nil, "sdk" as ExactString] {
            #expect(rules.match(subject, naming: name, presenting: ids(presented)).grant == nil)
        }
    }

    @Test func `ids are compared byte for byte`() async throws {
        let rules = try Fixture.rules(rule([.organization: "\u{E9}"]))
        let subject = try await Fixture.subject()
        #expect(rules.match(subject, naming: nil, presenting: ids([.organization: "e\u{301}"])).grant == nil)
        #expect(rules.match(subject, naming: nil, presenting: ids([.organization: "\u{E9}"])).grant != nil)
    }

    @Test func `good ids do not make up for a claim, and the next rule gets its turn`() async throws {
        let rules = try Fixture.rules(
            rule([.organization: "other"], named: "first"), rule([.organization: "o"], named: "second"),
            rule([:], named: "third"))
        let presented = ids([.organization: "o"])
        #expect(rules.match(try await Fixture.subject(), naming: nil, presenting: presented).grant?.rule == "second")
        #expect(rules.match(try await Fixture.subject(), naming: nil).grant?.rule == "third")
        let bob = try await Fixture.subject(["sub": "bob"])
        #expect(rules.match(bob, naming: nil, presenting: presented).grant == nil)
    }

    @Test func `the explanation names each id that failed, what was wanted and what was there`() async throws {
        let rules = try Fixture.rules(rule([.organization: "o", .serviceAccount: "s", .workspace: "w"]))
        let presented = ids([.organization: "o", .serviceAccount: "other"])
        let outcome = rules.match(try await Fixture.subject(), naming: "sdk", presenting: presented)
        let explanation = try #require(outcome.explanation)
        #expect(
            JSONValue.object(explanation.json) == [
                "named": "sdk",
                "rules": [
                    [
                        "rule": "sdk",
                        "failed": [
                            ["parameter": "service_account_id", "wanted": ["s"], "got": "other"],
                            ["parameter": "workspace_id", "wanted": ["w"]],
                        ],
                        "held": [["claim": "sub", "wanted": ["alice"], "got": "alice"]],
                    ]
                ],
            ])
    }

    @Test func `a long id that a caller made up does not fill the record`() async throws {
        let rules = try Fixture.rules(rule([.organization: "o"]))
        let presented = ids([.organization: ExactString(String(repeating: "n", count: 100_000))])
        let outcome = rules.match(try await Fixture.subject(), naming: nil, presenting: presented)
        #expect(try #require(outcome.explanation).json.encoded().count < 400)
    }
}
