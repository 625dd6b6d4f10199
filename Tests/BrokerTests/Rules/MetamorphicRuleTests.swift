import Broker
import BrokerTesting
import JOSE
import Testing

/// What must not change a verdict, and which way one may change, on random rules and claims.
@Suite struct MetamorphicRuleTests {
    private static let names = ["sub", "ref", "event", "groups", "protected"]
    private static let values: [JSONValue] = [
        "main", "dev", "refs/heads/main", "true", true, false, 1, "1", ["main", "push"], [], .null, ["a": "main"],
    ]
    private static let patterns: [ClaimMatcher.Pattern] =
        ["main", "*", "**", "refs/*/main", "m*", "true", "1", "alice"]
        .compactMap { try? .glob($0) } + [.bool(true), .number(1)]

    private func claims(_ generator: inout Counter) -> JSONObject {
        var claims = JSONObject()
        for name in Self.names.dropFirst() where Bool.random(using: &generator) {
            _ = claims.append(ExactString(name), Self.values.randomElement(using: &generator) ?? .null)
        }
        return claims
    }

    private func matcher(_ generator: inout Counter) throws -> ClaimMatcher {
        let name = Self.names.randomElement(using: &generator) ?? "sub"
        let count = Int.random(in: 1...3, using: &generator)
        return ClaimMatcher(
            claim: try #require(ClaimPath(parsing: name)),
            anyOf: (0..<count).compactMap { _ in Self.patterns.randomElement(using: &generator) })
    }

    private func matches(_ matchers: [ClaimMatcher], _ subject: VerifiedSubject) throws -> Bool {
        try Fixture.rules(Fixture.rule(match: matchers)).match(subject, naming: nil).grant != nil
    }

    @Test func `a further test never widens a rule, and a further value never narrows it`() async throws {
        var generator = Counter(state: 1)
        var granted = 0
        for _ in 0..<200 {
            let subject = try await Fixture.subject(claims(&generator))
            let matchers = try (0..<Int.random(in: 1...2, using: &generator)).map { _ in try matcher(&generator) }
            let before = try matches(matchers, subject)
            granted += before ? 1 : 0
            if try matches(matchers + [matcher(&generator)], subject) { #expect(before) }
            let wider = matchers.map { ClaimMatcher(claim: $0.claim, anyOf: $0.anyOf + [Self.patterns[2]]) }
            if before { #expect(try matches(wider, subject)) }
        }
        #expect(granted > 10, "some have to match")
    }

    @Test func `a claim that no rule reads changes no verdict`() async throws {
        var generator = Counter(state: 2)
        for _ in 0..<200 {
            let claims = claims(&generator)
            let matchers = [try matcher(&generator)]
            let more = claims.merging(["unrelated": "main", "Ref": "main", "": true, "ref ": "main", "/ref": "main"])
            let (before, after) = (try await Fixture.subject(claims), try await Fixture.subject(more))
            #expect(try matches(matchers, before) == matches(matchers, after))
        }
    }

    @Test(arguments: [
        #"{"iss":"https://issuer.example.com","sub":"alice","aud":"https://daypass.example.com","iat":1800000000,"exp":1800000300,"ref":"refs/heads/main","n":7,"k":{"a":["x"]}}"#,
        #" { "exp" : 1.8000003e9 ,"n":7.0,"k":{"a":["x"]}, "iat":18e8,"ref" : "refs\/heads\/main","aud":["https:\/\/daypass.example.com"], "sub":"\u0061lice","iss":"https://issuer.example.co\u006D" } "#,
        "\n{\"\\u0072ef\":\"\\u0072efs/heads/main\",\"k\":{\"\\u0061\":[\"\\u0078\"]},\"n\":70e-1,\r\n\t\"iss\":\"https://issuer.example.com\",\"sub\":\"alice\",\"aud\":\"https://daypass.example.com\",\"iat\":1800000000.0,\"exp\":1800000300}",
    ])
    func `another spelling of the same JSON gives the same verdict`(payload: String) async throws {
        let issuer = try Fixture.quick
        let subject = try await Fixture.authenticator(issuer).authenticate(
            SecretText(try issuer.token(rawPayload: payload)), at: Fixture.now)
        #expect(subject.identity == "corp:alice")
        #expect(
            try matches(
                [
                    Fixture.matcher("ref", ["refs/heads/main"]), Fixture.matcher("n", .number(7)),
                    Fixture.matcher("/k/a/0", ["x"]),
                ], subject))
        #expect(try !matches([Fixture.matcher("ref", ["refs/heads/dev"])], subject))
    }

    @Test func `the order of other issuers' rules changes no verdict`() async throws {
        let subject = try await Fixture.subject()
        let own = try Fixture.rule("own", texts: [("sub", ["alice"])])
        let foreign = try Fixture.rule("foreign", issuer: "partner", texts: [("sub", ["**"])])
        let issuers = [
            try Fixture.configuration(Fixture.quick), try Fixture.configuration(Fixture.otherIssuer, name: "partner"),
        ]
        for rules in [[own, foreign], [foreign, own]] {
            #expect(
                try RuleSet(rules, issuers: issuers, broker: Fixture.broker).match(subject, naming: nil).grant?.rule
                    == "own")
        }
    }
}
