import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// `explain_to_caller`
@Suite struct CallerExplanationTests {
    private static func rule(
        _ name: String, _ texts: [(String, [String])], explains: Bool, federation: FederationIDs = .init()
    ) throws -> Rule {
        let terms = try #require(
            GrantTerms(
                scope: Fixture.scopes(["a:read"]), timeToLive: .seconds(900), audiences: ExchangeBench.audiences,
                explainsToCaller: explains))
        return try #require(
            Rule(
                name: name, issuer: Fixture.name(), matchers: try texts.map { try Fixture.matcher($0.0, $0.1) },
                federation: federation, terms: terms))
    }

    private func unmatched(
        _ rules: [Rule], _ changes: JSONObject = [:], rule: ExactString? = nil
    ) async throws -> [ExactString]? {
        let bench = try ExchangeBench(rules: rules)
        switch await bench.refusal(try bench.request(bench.token(changes), rule: rule)) {
        case .unmatched(let claims): return claims
        case .subjectToken: return nil
        case let other:
            Issue.record("\(String(describing: other))")
            return nil
        }
    }

    @Test func `a caller whose signature was good is told which of its claims did not match`() async throws {
        let rule = try Self.rule(
            "main", [("sub", ["alice"]), ("ref", ["refs/heads/release"]), ("missing", ["x"])], explains: true)
        #expect(try await unmatched([rule]) == ["ref", "missing"])
    }

    @Test func `a rule that does not say so is not explained, nor that it is there`() async throws {
        let silent = try Self.rule("silent", [("ref", ["x"])], explains: false)
        #expect(try await unmatched([silent]) == nil)
        // However near it comes.
        let far = try Self.rule("far", [("sub", ["bob"]), ("event", ["push"])], explains: true)
        #expect(try await unmatched([silent, far]) == ["sub", "event"])
        #expect(try await unmatched([silent, far], rule: "silent") == nil)
        #expect(try await unmatched([silent, far], rule: "none") == nil)
        #expect(try await unmatched([silent, far], rule: "far") == ["sub", "event"])
    }

    @Test func `of several that say so the nearest is explained`() async throws {
        let rules = [
            try Self.rule("far", [("sub", ["bob"]), ("event", ["push"])], explains: true),
            try Self.rule("near", [("sub", ["alice"]), ("ref", ["x"])], explains: true),
        ]
        #expect(try await unmatched(rules) == ["ref"])
    }

    @Test func `an id that the request lacks is told by its parameter`() async throws {
        var ids = FederationIDs()
        ids[.workspace] = "wrkspc_01"
        let rule = try Self.rule("main", [("sub", ["alice"])], explains: true, federation: ids)
        #expect(try await unmatched([rule]) == ["workspace_id"])
    }

    @Test func `another issuer's rule is not explained`() async throws {
        let agents = try #require(
            Rule(
                name: "agents", issuer: Fixture.name("agents"), matchers: [Fixture.matcher("sub", ["x"])],
                terms: Self.rule("t", [("sub", ["x"])], explains: true).terms))
        #expect(try await unmatched([agents]) == nil)
    }

    @Test func `who proved nothing is told nothing`() async throws {
        let rule = try Self.rule("main", [("ref", ["x"])], explains: true)
        let bench = try ExchangeBench(rules: [rule])
        var forged = TokenSegments(try bench.token())
        forged.signature = TokenSegments(try bench.token(["jti": "2"])).signature
        for token in ["\(forged.header).\(forged.payload).\(forged.signature)", try bench.token(["exp": 1]), "garbage"]
        {
            #expect(await bench.refusal(try bench.request(token))?.name == "subjectToken")
        }
    }

    @Test func `a subject that is blocked learns nothing by it`() async throws {
        let rule = try Self.rule("main", [("sub", ["alice"])], explains: true)
        let bench = try ExchangeBench(rules: [rule])
        _ = try await bench.revocations.revoke(
            RevocationRequest(.subject("corp:alice"), block: Revocation.Block(until: nil)), by: .daemon)
        #expect(await bench.refusal(try bench.request(bench.token()))?.name == "subjectToken")
    }

    @Test(arguments: ["subject", "issuer", "rule"])
    func `who is blocked, or whose rule is, is not told what else does not match, and the record says both`(
        _ kind: String
    ) async throws {
        let rule = try Self.rule("main", [("sub", ["alice"]), ("ref", ["x"])], explains: true)
        let bench = try ExchangeBench(rules: [rule])
        let target: Revocation.Target =
            switch kind {
            case "subject": .subject("corp:alice")
            case "issuer": .issuer(try Fixture.name())
            default: .rule("main")
            }
        #expect(await bench.refusal(try bench.request(bench.token()))?.name == "unmatched")
        #expect(bench.store.events.last?.details["blocked"] == nil)
        _ = try await bench.revocations.revoke(
            RevocationRequest(target, block: Revocation.Block(until: nil)), by: .daemon)
        #expect(await bench.refusal(try bench.request(bench.token()))?.name == "subjectToken")
        let event = try #require(bench.store.events.last)
        #expect(event.reason == "no_rule" && event.details["explanation"] != nil)
        #expect(event.details["blocked"]?.object?["kind"]?.string?.string == kind)
    }

    @Test func `a block of a nearer rule, which says nothing, does not silence the one that explains itself`()
        async throws
    {
        let near = try Self.rule("near", [("ref", ["x"])], explains: false)
        let far = try Self.rule("far", [("sub", ["bob"]), ("event", ["push"])], explains: true)
        let bench = try ExchangeBench(rules: [near, far])
        _ = try await bench.revocations.revoke(
            RevocationRequest(.rule("near"), block: Revocation.Block(until: nil)), by: .daemon)
        #expect(await bench.refusal(try bench.request(bench.token()))?.name == "unmatched")
        #expect(bench.store.events.last?.details["blocked"]?.object?["kind"] == "rule")
    }
}
