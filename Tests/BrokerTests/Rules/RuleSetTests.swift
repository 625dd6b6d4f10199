import Broker
import BrokerTesting
import JOSE
import Testing

@Suite struct RuleSetTests {
    @Test func `the first rule that matches is used`() async throws {
        let rules = try Fixture.rules(
            Fixture.rule("miss", texts: [("sub", ["bob"])]), Fixture.rule("first", texts: [("sub", ["a*"])]),
            Fixture.rule("second", texts: [("sub", ["alice"])]))
        let subject = try await Fixture.subject()
        #expect(rules.match(subject, naming: nil).grant?.rule == "first")
    }

    @Test func `all tests of a rule have to hold`() async throws {
        let rules = try Fixture.rules(Fixture.rule(texts: [("sub", ["alice"]), ("ref", ["main"])]))
        #expect(rules.match(try await Fixture.subject(["ref": "main"]), naming: nil).grant != nil)
        #expect(rules.match(try await Fixture.subject(["ref": "dev"]), naming: nil).grant == nil)
        #expect(rules.match(try await Fixture.subject(), naming: nil).grant == nil)
    }

    @Test func `a named rule is used, though an earlier one matches as well`() async throws {
        let rules = try Fixture.rules(
            Fixture.rule("first", texts: [("sub", ["alice"])]), Fixture.rule("second", texts: [("sub", ["*"])]))
        #expect(rules.match(try await Fixture.subject(), naming: "second").grant?.rule == "second")
    }

    @Test(arguments: ["unknown", "bobs", "others", "Alices", "alices ", "", "alices\u{301}", "ci-*"] as [ExactString])
    func `no rule but the named one is used, whoever else matches`(name: ExactString) async throws {
        let quick = try Fixture.quick
        let rules = try RuleSet(
            [
                Fixture.rule("alices", texts: [("sub", ["alice"])]), Fixture.rule("bobs", texts: [("sub", ["bob"])]),
                Fixture.rule("others", issuer: "partner", texts: [("sub", ["alice"])]),
            ],
            issuers: [
                Fixture.configuration(quick),
                Fixture.configuration(Fixture.otherIssuer, name: "partner"),
            ], broker: Fixture.broker)
        let outcome = rules.match(try await Fixture.subject(), naming: name)
        #expect(outcome.grant == nil)
        #expect(outcome.explanation?.named == .string(name))
    }

    @Test func `rules of another issuer never match, whatever the claims`() async throws {
        let rules = try RuleSet(
            [Fixture.rule(issuer: "partner", texts: [("sub", ["**"])])],
            issuers: [
                Fixture.configuration(Fixture.quick), Fixture.configuration(Fixture.otherIssuer, name: "partner"),
            ], broker: Fixture.broker)
        #expect(rules.match(try await Fixture.subject(), naming: nil).grant == nil)
        #expect(rules.match(try await Fixture.subject(issuerName: "partner"), naming: nil).grant != nil)
    }

    @Test func `rules that are no sound set are refused with the rule at fault`() throws {
        let sound = try Fixture.rule("sound", texts: [("sub", ["alice"])])
        let failures: [(Rule, String)] = [
            (try Fixture.rule("sound", texts: [("sub", ["bob"])]), "two rules are named sound"),
            (
                try Fixture.rule("lost", issuer: "nobody", texts: [("sub", ["bob"])]),
                "rule lost names the issuer nobody, which is not configured"
            ),
            (
                try Fixture.rule("open", match: []),
                "rule open tests no claim, so it would match every token of its issuer"
            ),
            (
                try Fixture.rule(
                    "root", texts: [("sub", ["bob"])], terms: Fixture.terms(scope: ["daypass:admin"])),
                "rule root mixes the broker with gateways: only scopes that start with daypass: are for the broker itself"
            ),
            (
                try Fixture.rule(
                    "twin", texts: [("sub", ["bob"])],
                    terms: Fixture.terms(audiences: [Fixture.gateway, Fixture.broker])),
                "rule twin mixes the broker with gateways: only scopes that start with daypass: are for the broker itself"
            ),
        ]
        for (rule, message) in failures {
            let issuers = [try Fixture.configuration(Fixture.quick)]
            do throws(RuleSetFailure) {
                _ = try RuleSet([sound, rule], issuers: issuers, broker: Fixture.broker)
                Issue.record("accepted: \(rule.name)")
            } catch {
                #expect(error.description == message)
                #expect(error.rule == rule.name)
            }
        }
    }

    @Test(arguments: ["", "a b", "a\n", "caf\u{E9}", String(repeating: "a", count: 129)])
    func `a rule's name is printable ASCII without spaces`(name: String) throws {
        let rule = Rule(
            name: name, issuer: try Fixture.name(), matchers: [try Fixture.matcher("sub", ["a"])],
            terms: try Fixture.terms())
        #expect(rule == nil)
    }

    @Test func `the claims that are read are those of the issuer's own rules, from the top`() throws {
        let rules = try RuleSet(
            [
                Fixture.rule("a", texts: [("/kubernetes.io/namespace", ["ml"]), ("sub", ["*"])]),
                Fixture.rule("b", texts: [("/a~1b/0", ["x"])]),
                Fixture.rule("c", issuer: "partner", texts: [("ref", ["x"])]),
            ],
            issuers: [
                Fixture.configuration(Fixture.quick), Fixture.configuration(Fixture.otherIssuer, name: "partner"),
            ], broker: Fixture.broker)
        #expect(rules.claimsRead(of: try Fixture.name()) == ["kubernetes.io", "sub", "a/b"])
        #expect(rules.claimsRead(of: try Fixture.name("partner")) == ["ref"])
        #expect(rules.claimsRead(of: try Fixture.name("nobody")) == [])
    }

    /// Two indices and no scan of members: this would take minutes otherwise.
    @Test func `a token of a thousand claims against a thousand rules is answered`() async throws {
        var claims = JSONObject()
        for index in 0..<900 { _ = claims.append(ExactString("c\(index)"), "v") }
        let subject = try await Fixture.subject(claims)
        let rules = try RuleSet(
            (0..<1000).map { index in
                try Fixture.rule(
                    "rule\(index)", texts: [("c\(index % 900)", ["v"]), ("c899", ["*"]), ("missing", ["x"])])
            }, issuers: [Fixture.configuration(Fixture.quick)], broker: Fixture.broker)
        let explanation = try #require(rules.match(subject, naming: nil).explanation)
        #expect(explanation.rules.count == Explanation.maximumRules)
        #expect(explanation.omittedRules == 1000 - Explanation.maximumRules)
    }
}

@Suite struct SharedIssuerRuleTests {
    private static let required: [ExactString] = ["repository_id", "repository_owner_id"]

    private func accepts(_ match: [(String, [String])], required: [ExactString] = required) throws -> Bool {
        let rule = try Fixture.rule(texts: match)
        let issuers = [try Fixture.configuration(Fixture.quick, requiredClaims: required)]
        do throws(RuleSetFailure) {
            _ = try RuleSet([rule], issuers: issuers, broker: Fixture.broker)
            return true
        } catch {
            guard case .requiredClaim = error else { throw error }
            #expect(error.description.contains("has to match one of repository_id"))
            return false
        }
    }

    @Test(arguments: [
        [("repository_id", ["1"])], [("repository_owner_id", ["1"])], [("repository_id", ["1", "2"])],
        [("repository_id", ["*"]), ("repository_owner_id", ["1"])], [("repository_id", [#"\*"#])],
        [("/repository_id", ["1"])], [("ref", ["**"]), ("repository_id", ["1"])],
    ])
    func `a rule for a shared issuer that pins a required claim is accepted`(match: [(String, [String])]) throws {
        #expect(try accepts(match))
    }

    @Test(arguments: [
        [("ref", ["refs/heads/main"])], [("repository_id", ["*"])], [("repository_id", ["**"])],
        [("repository_id", ["1*"])], [("repository_id", ["1", "*"])], [("repository_id", ["1", "2**"])],
        [("repository", ["acme/app"])], [("repository_Id", ["1"])], [("repository_id ", ["1"])],
        [("repository_id\u{301}", ["1"])], [("/repository_id/0", ["1"])], [("//repository_id", ["1"])],
        [("/x/repository_id", ["1"])], [("/repository~0id", ["1"])], [("repository_id", ["*"]), ("ref", ["main"])],
        [("/repository_id", ["*"])], [("sub", ["repo:acme/app:ref:refs/heads/main"])],
    ])
    func `a rule for a shared issuer that pins none is refused at load`(match: [(String, [String])]) throws {
        #expect(try !accepts(match))
    }

    @Test func `a claim that is required by a path with a slash is pinned by either spelling`() throws {
        let required: [ExactString] = ["repository_id", "oidc.circleci.com/org-id"]
        #expect(try accepts([("oidc.circleci.com/org-id", ["1"])], required: required))
        #expect(try accepts([("/oidc.circleci.com~1org-id", ["1"])], required: required))
        #expect(try !accepts([("/oidc.circleci.com/org-id", ["1"])], required: required))
    }
}
