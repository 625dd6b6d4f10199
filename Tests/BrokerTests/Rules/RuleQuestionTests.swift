import Broker
import BrokerTesting
import JOSE
import Testing

/// Rules that are asked about somebody whom nobody has authenticated.
@Suite struct RuleQuestionTests {
    /// Of numbers that are the same in every run.
    private struct Numbers: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state
        }
    }

    private static let values: [JSONValue] = [
        "a", "b", "a/b", "", true, 1, .null, ["a", 1], ["b", ["a"]], ["x": "a"], .array([]),
    ]

    private static func rule(_ number: Int, _ numbers: inout Numbers) throws -> Rule {
        let patterns =
            try ["a", "b", "*", "**", "a*", #"\*"#].map { try Glob(parsing: $0) }.map(
                ClaimMatcher.Pattern.text) + [.bool(true), .number(1)]
        var matchers: [ClaimMatcher] = []
        for claim in ["c", "d", "/c/x", "/d/0"] where Bool.random(using: &numbers) {
            let wanted = patterns.shuffled(using: &numbers).prefix(Int.random(in: 1...2, using: &numbers))
            matchers.append(ClaimMatcher(claim: try #require(ClaimPath(parsing: claim)), anyOf: Array(wanted)))
        }
        if matchers.isEmpty { matchers = [try Fixture.matcher("sub", ["*"])] }
        let isForBroker = number == 0
        let scope = isForBroker ? ["daypass:audit", "daypass:keys"] : [["s:one"], ["s:one", "s:two"]][number % 2]
        let audiences: [ExactString] = isForBroker ? [Fixture.broker] : [Fixture.gateway, "other"]
        return try Fixture.rule("r\(number)", match: matchers, terms: Fixture.terms(scope: scope, audiences: audiences))
    }

    /// What an exchange comes to, by the functions that grant.
    private static func granted(
        _ rules: RuleSet, _ subject: VerifiedSubject, _ question: RuleQuestion, targets: [ExactString]
    ) -> RuleAnswer {
        guard let grant = rules.match(subject, naming: question.named, asking: question.scope).grant else {
            return .refused(.noRule)
        }
        do throws(Grant.NarrowingFailure) {
            let narrowed = try grant.narrowed(toScope: question.scope, targets: targets)
            return .granted(.init(rule: narrowed.rule, scope: narrowed.scope, audience: narrowed.audience))
        } catch {
            return .refused(error == .scope ? .scope : .target)
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `are answered as the exchange would, whatever the rules and claims`(seed: UInt64) async throws {
        var numbers = Numbers(state: seed)
        var answers: Set<RuleAnswer> = []
        for _ in 0..<10 {
            let rules = try RuleSet(
                (0..<5).map { try Self.rule($0, &numbers) }, issuers: [Fixture.configuration(Fixture.quick)],
                broker: Fixture.broker)
            var claims: JSONObject = [:]
            for name in ["c", "d"] as [ExactString] {
                if let value = Self.values.randomElement(using: &numbers), Bool.random(using: &numbers) {
                    _ = claims.append(name, value)
                }
            }
            let subject = try await Fixture.subject(claims)
            for named in [nil, "r0", "r3", "none"] as [ExactString?] {
                for scope in [nil, ["s:one"], ["s:two"], ["daypass:keys"], ["s:one", "daypass:keys"]] as [[String]?] {
                    for targets in [[], ["other"], [Fixture.gateway, "other"], ["third"]] as [[ExactString]] {
                        var question = RuleQuestion(
                            issuer: try Fixture.name(), claims: KnownClaims(all: subject.claims))
                        question.named = named
                        question.scope = try scope.map(Fixture.scopes)
                        question.targets = targets.map { .string($0) }
                        let answer = rules.answer(to: question)
                        #expect(answer == Self.granted(rules, subject, question, targets: targets))
                        answers.insert(answer)
                    }
                }
            }
        }
        #expect(answers.count > 5)
    }

    private static let long = String(repeating: "x", count: 300)

    /// What is kept of a token, what is known not to have been there, and whether `c` matches the pattern.
    @Test(
        arguments: [
            (["c": "a"], nil, "c", "a", .holds), (["c": "a"], nil, "c", "b", .fails),
            (["c": ["b", "a"]], nil, "c", "a", .holds),
            // Nothing is known of what was not kept,
            ([:], nil, "c", "*", .unknown), ([:], ["d"], "c", "a", .unknown), ([:], nil, "/c/x", "a", .unknown),
            // but for what is always kept, and what the record says was not there.
            ([:], nil, "jti", "*", .fails), ([:], nil, "/act/sub", "a", .fails), ([:], ["c"], "c", "*", .fails),
            ([:], ["c"], "/c/x", "*", .fails), ([:], true, "c", "*", .fails), ([:], "c", "c", "*", .unknown),
            // A long text is known by its digest: to a pattern without a wildcard, and by its length.
            (["c": .string(ExactString(long))], nil, "c", long, .holds),
            (["c": .string(ExactString(long))], nil, "c", "\(long)x", .fails),
            (["c": .string(ExactString(long))], nil, "c", "a", .fails),
            (["c": .string(ExactString(long))], nil, "c", "x*", .unknown),
            (["c": .string(ExactString(long))], nil, "c", "\(long)*x", .fails),
            (["c": .string(ExactString(long + String(repeating: "x", count: 4000)))], nil, "c", "**", .fails),
            (["c": ["a", .string(ExactString(long))]], nil, "c", "a", .holds),
            (["c": ["b", .string(ExactString(long))]], nil, "c", "a", .fails),
            (["c": ["b", .string(ExactString(long))]], nil, "c", "a*", .unknown),
            (["c": ["x": .string(ExactString(long))]], nil, "/c/x", "a*", .unknown),
            // What stands for a text is not looked into.
            (["c": .string(ExactString(long))], nil, "/c/sha256", "**", .unknown),
            (["c": .string(ExactString(long))], nil, "/c/bytes", "**", .unknown),
            // An object of an issuer's own that is not quite of that form stands for itself.
            (["c": ["sha256": "a", "bytes": 256]], nil, "/c/sha256", "a", .holds),
            (["c": ["sha256": "a", "bytes": 300, "z": 1]], nil, "/c/sha256", "a", .holds),
            (["c": ["sha256": "a"]], nil, "/c/sha256", "a", .holds),
        ] as [(JSONObject, JSONValue?, String, String, Truth)])
    func `of kept claims no more is said than is known`(
        _ claims: JSONObject, _ absent: JSONValue?, _ claim: String, _ pattern: String, _ truth: Truth
    ) throws {
        let kept = try #require(KeptClaims.shortened(.object(claims)).object)
        let matcher = try Fixture.matcher(claim, [pattern])
        #expect(matcher.truth(in: KnownClaims(kept: kept, absent: absent)) == truth)
        // Of all claims everything is known.
        let whole = matcher.truth(in: KnownClaims(all: claims))
        #expect(whole == (matcher.matches(claims) ? .holds : .fails))
        if truth != .unknown, absent == nil { #expect(whole == truth) }
    }

    @Test func `a rule of which it cannot be told hides those behind it, and none before`() throws {
        let rules = try Fixture.rules(
            Fixture.rule("first", texts: [("ref", ["main"])]),
            Fixture.rule("open", texts: [("ref", ["d*"]), ("team", ["a"]), ("org", ["b"])]),
            Fixture.rule("last", texts: [("ref", ["*"])]))
        func answer(_ ref: JSONValue) throws -> RuleAnswer {
            let claims = KnownClaims(kept: ["ref": ref], absent: ["org"])
            return rules.answer(to: RuleQuestion(issuer: try Fixture.name(), claims: claims))
        }
        guard case .granted(let first) = try answer("main"), case .granted(let last) = try answer("feature") else {
            Issue.record("refused")
            return
        }
        #expect(first.rule == "first" && last.rule == "last")
        // `org` was not there, so `open` does not match.
        guard case .granted(let other) = try answer("dev") else {
            Issue.record("refused")
            return
        }
        #expect(other.rule == "last")
        let unknown = try RuleSet(
            rules.rules.map {
                $0.name == "open" ? try Fixture.rule("open", texts: [("team", ["a"]), ("ref", ["d*"])]) : $0
            },
            issuers: [Fixture.configuration(Fixture.quick)], broker: Fixture.broker)
        let claims = KnownClaims(kept: ["ref": "dev"], absent: nil)
        #expect(
            unknown.answer(to: RuleQuestion(issuer: try Fixture.name(), claims: claims))
                == .unknown(rule: "open", claims: ["team"]))
    }

    @Test func `the attempts begin with the rule that grants, then the nearest, and say claim by claim`() throws {
        let rules = try Fixture.rules(
            Fixture.rule("far", texts: [("ref", ["main"]), ("team", ["z"])]),
            Fixture.rule("near", texts: [("ref", ["main"]), ("team", ["a"])]),
            Fixture.rule("hit", texts: [("team", ["a"])]))
        let question = RuleQuestion(
            issuer: try Fixture.name(), claims: KnownClaims(all: ["ref": "dev", "team": "a"]))
        let attempts = rules.attempts(question)
        #expect(attempts.map(\.rule.name) == ["hit", "near", "far"])
        #expect(attempts.map(\.truth) == [.holds, .fails, .fails])
        #expect(attempts[1].claims.map(\.truth) == [.fails, .holds])
        #expect(attempts[1].claims.map(\.got) == [.value("dev"), .value("a")])
    }
}
