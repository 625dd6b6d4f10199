import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// The rules were changed between authentication and renewal.
@Suite struct `Renewal under changed rules` {
    /// A bench over the same store with these rules.
    private func changed(_ bench: ExchangeBench, to rules: Rule...) throws -> ExchangeBench {
        try ExchangeBench(rules: rules, after: bench)
    }

    // MARK: The rule

    @Test func `a rule that is gone, renamed, or another issuer's by now, grants nothing`() async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        let renamed = try Fixture.rule("main2", texts: [("sub", ["alice"])], terms: ExchangeBench.terms())
        let stolen = try ExchangeBench.main(issuer: "agents")
        for bench in [try changed(bench), try changed(bench, to: renamed), try changed(bench, to: stolen)] {
            #expect(try await bench.refusal(renewing: first) == "subjectToken: no_rule")
            #expect(try await bench.refusal(renewing: first, scope: ["a:read"]) == "subjectToken: no_rule")
        }
        let event = try #require(bench.store.events.last)
        #expect(event.rule == "main" && event.sessionID == first.sessionID && event.subject == "corp:alice")
        #expect(bench.store.sessions.count == 1)
    }

    @Test func `no other rule takes its place, though it matches`() async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        let other = try Fixture.rule("other", texts: [("sub", ["alice"])], terms: ExchangeBench.terms())
        let main = try ExchangeBench.main(match: [("sub", ["bob"])])
        #expect(try await changed(bench, to: other, main).refusal(renewing: first) == "subjectToken: no_rule")
        let restored = try await changed(bench, to: other, ExchangeBench.main()).renewed(first)
        #expect(try bench.claims(restored)["rule"] == "main")
    }

    @Test(
        arguments: [
            ([("sub", ["alice"])], true), ([("sub", ["al*"]), ("ref", ["refs/**"])], true),
            ([("ref", ["refs/heads/dev", "refs/heads/main"])], true), ([("sub", ["bob"])], false),
            ([("sub", ["alice"]), ("ref", ["refs/heads/dev"])], false),
            // A claim that no rule read at the authentication was not kept.
            ([("sub", ["alice"]), ("extra", ["unread"])], false), ([("sub", ["alice"]), ("none", ["**"])], false),
        ] as [([(String, [String])], Bool)])
    func `the rule is matched again with the claims that were kept`(
        match: [(String, [String])], isGranted: Bool
    ) async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        let refusal = try await changed(bench, to: ExchangeBench.main(match: match)).refusal(renewing: first)
        #expect(refusal == (isGranted ? nil : "subjectToken: no_rule"))
    }

    @Test func `all claims that were kept may be read by a rule that did not read them before`() async throws {
        let bench = try ExchangeBench(keptClaims: .all)
        let first = try await bench.opened()
        let reading = try changed(bench, to: ExchangeBench.main(match: [("extra", ["unread"])]))
        #expect(try await reading.refusal(renewing: first) == nil)
    }

    // MARK: Long claims

    private static let long = String(repeating: "x", count: 250)

    @Test(
        arguments: [
            (long + "123456", [long + "123456"], true), (long + "1234567", [long + "1234567"], true),
            (long + "1234567", ["nothing", long + "1234567"], true), (long + "1234567", [long + "*"], false),
            (long + "123456", [long + "*"], true), (long + "1234567", ["**"], false), ("short", ["sh*"], true),
        ] as [(String, [String], Bool)])
    func `of a text of more than 256 bytes only a pattern without a wildcard is known to match again`(
        value: String, patterns: [String], isGranted: Bool
    ) async throws {
        for claim in [.string(ExactString(value)), [1, .string(ExactString(value))]] as [JSONValue] {
            let rules = [try ExchangeBench.main(match: [("wide", patterns)])]
            let bench = try ExchangeBench(rules: rules)
            let first = try await bench.opened(["wide": claim])
            #expect(try await bench.refusal(renewing: first) == (isGranted ? nil : "subjectToken: no_rule"))
            let other = try changed(bench, to: ExchangeBench.main(match: [("wide", [value + "y", Self.long])]))
            #expect(try await other.refusal(renewing: first) == "subjectToken: no_rule")
        }
    }

    @Test func `a claim that is shaped like a digest is none`() async throws {
        let value = Self.long + "1234567"
        let digest = KeptClaims.shortened(.string(ExactString(value)))
        #expect(digest.object?["bytes"] == 257)
        let bench = try ExchangeBench(rules: [ExchangeBench.main(match: [("wide", [value])])])
        for claim in [digest, [digest]] {
            let refusal = await bench.refusal(try bench.request(bench.token(["wide": claim])))
            #expect(refusal?.name == "subjectToken")
        }
        #expect(bench.store.events.map(\.reason) == ["no_rule", "no_rule"])
        // That of a text that would not have been replaced.
        let short = ExactString(String(repeating: "y", count: 256))
        #expect(KeptClaims.shortened(.string(short)) == .string(short))
    }

    // MARK: Its terms

    @Test(
        arguments: [
            (["a:read", "a:write", "a:admin"], ["a:read", "a:write"]), (["a:write", "a:read"], ["a:read", "a:write"]),
            (["a:admin", "a:write"], ["a:write"]), (["a:read"], ["a:read"]),
        ])
    func `scope that the rule has more by now is not given, and what it has no more is taken`(
        scope: [String], expected: [String]
    ) async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        let later = try changed(bench, to: ExchangeBench.main(ExchangeBench.terms(scope: scope)))
        let second = try await later.renewed(first)
        #expect(second.scope.map(\.text.string) == expected)
        #expect(try bench.claims(second)["scope"]?.string?.string == expected.joined(separator: " "))
        #expect(second.sessionID == first.sessionID, "it is the same session all the same")
        #expect(try await later.refusal(renewing: first, scope: ["a:admin"]) == "scope: scope")
        // What was taken does not come back with the rule.
        let third = try await bench.renewed(second)
        #expect(third.scope.map(\.text.string) == expected)
    }

    @Test func `scope that the rule has no more cannot be asked for, and without any left nothing is granted`()
        async throws
    {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        let narrower = try changed(bench, to: ExchangeBench.main(ExchangeBench.terms(scope: ["a:read"])))
        #expect(try await narrower.refusal(renewing: first, scope: ["a:write"]) == "scope: scope")
        #expect(try await narrower.refusal(renewing: first, scope: ["a:read", "a:write"]) == "scope: scope")
        let other = try changed(bench, to: ExchangeBench.main(ExchangeBench.terms(scope: ["a:admin"])))
        #expect(try await other.refusal(renewing: first) == "subjectToken: grant_changed")
        #expect(bench.store.sessions.count == 1)
    }

    @Test(
        arguments: [
            (nil, nil, nil), (nil, ["m-*"], ["m-*"]), (["m-*"], nil, ["m-*"]), (["m-*"], ["m-*"], ["m-*"]),
            (["m-1", "m-2"], ["m-2", "m-3"], ["m-2"]), (["m-*"], ["m-1", "x"], ["m-1"]),
            (["m-1", "x"], ["m-*"], ["m-1"]),
            (["m-*", "x"], ["m-1", "x", "y"], ["x", "m-1"]), (["m-*"], ["m-small-*"], ["m-small-*"]),
            (["m-small-*"], ["m-*"], ["m-small-*"]), (["**"], ["m-*", "x"], ["m-*", "x"]), (["*"], ["**"], ["*"]),
            (["m-*-a"], ["m-b-*"], []), (["m"], ["x"], []), (["m-*"], ["x-*"], []), (["a/*"], ["a/b/*"], []),
        ] as [([String]?, [String]?, [String]?)])
    func `of models only those stay that token and rule allow`(
        token: [String]?, rule: [String]?, expected: [String]?
    ) async throws {
        let bench = try ExchangeBench(rules: [ExchangeBench.main(ExchangeBench.terms(models: token))])
        let first = try await bench.opened()
        let later = try changed(bench, to: ExchangeBench.main(ExchangeBench.terms(models: rule)))
        guard expected != [] else {
            #expect(try await later.refusal(renewing: first) == "subjectToken: grant_changed")
            return
        }
        let second = try await later.renewed(first)
        let details = try bench.claims(second)["authorization_details"]
        let models = details?.array?.first?.object?["models"]?.array?.compactMap(\.string?.string)
        #expect(models == expected)
        #expect(second.sessionID == first.sessionID)
        // The first rule gives nothing back.
        let third = try await bench.renewed(second)
        #expect(try bench.claims(third)["authorization_details"] == details)
    }

    @Test func `an audience that the rule has no more is not inherited`() async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        let moved = try changed(
            bench, to: ExchangeBench.main(ExchangeBench.terms(audiences: ["https://second.example.com"])))
        #expect(try await moved.refusal(renewing: first) == "subjectToken: grant_changed")
        let second = ["https://second.example.com" as ExactString]
        #expect(try await moved.refusal(renewing: first, targets: second) == "subjectToken: grant_changed")
        let reordered = try changed(
            bench, to: ExchangeBench.main(ExchangeBench.terms(audiences: ExchangeBench.audiences.reversed())))
        let renewed = try await reordered.renewed(first)
        #expect(try bench.claims(renewed)["aud"] == "https://gateway.example.com", "not the new default")
    }

    @Test(arguments: [(60, 60, nil), (60, 61, 1), (7200, 7200, 3540), (1800, 1800, 1740), (60, 3600, 60)])
    func `lifetimes follow the rule: a session may end earlier by it, and never later`(
        timeToLive: Int, maximumSession: Int, lifetime: Int?
    ) async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        bench.clock.advance(by: .seconds(60))
        let terms = try ExchangeBench.terms(
            timeToLive: .seconds(timeToLive), maximumSession: .seconds(maximumSession))
        let later = try changed(bench, to: ExchangeBench.main(terms))
        if let lifetime {
            #expect(try await later.renewed(first).lifetime == lifetime)
        } else {
            for scope in [nil, ["a:read"]] {
                #expect(try await later.refusal(renewing: first, scope: scope) == "subjectToken: session_over")
            }
        }
        #expect(bench.store.sessions.map(\.end) == [Fixture.now.addingTimeInterval(3600)])
    }

    @Test func `a session that is joined ends by what the rule has now`() async throws {
        let bench = try ExchangeBench()
        let token = try bench.token()
        let first = try await bench.exchange.exchange(bench.request(token))
        bench.clock.advance(by: .seconds(60))
        let terms = try ExchangeBench.terms(timeToLive: .seconds(100), maximumSession: .seconds(100))
        let later = try changed(bench, to: ExchangeBench.main(terms))
        let second = try await later.exchange.exchange(later.request(token))
        #expect(second.sessionID == first.sessionID && second.lifetime == 40)
    }
}
