import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// What `explain` says where what is near is not all that matters.
@Suite struct DecisionWordsTests {
    /// The only decision on a request that was refused.
    private func refused(_ request: ExchangeRequest, _ bench: ExchangeBench) async throws -> JSONObject {
        try #require(await bench.refusal(request) != nil)
        return try await decision(request.trace, bench.store, [])
    }

    private func decision(_ trace: TraceID, _ store: MemoryStore, _ limits: [ProofLimits]) async throws -> JSONObject {
        let decisions = StoredDecisions(
            store, recent: RecentRefusals(), limits: { limits }, retention: .seconds(86_400), clock: ManualClock())
        let json = try await decisions.decision(trace).json
        let all = try #require(json["decisions"]?.array)
        #expect(all.count == 1)
        return try #require(all.first?.object)
    }

    private func rule(_ name: String, _ texts: [(String, [String])], _ scope: String) throws -> Rule {
        try Fixture.rule(name, texts: texts, terms: ExchangeBench.terms(scope: [scope]))
    }

    @Test func `a block that would refuse the request all the same is not hidden by a claim`() async throws {
        let bench = try ExchangeBench()
        _ = try await bench.revocations.revoke(
            RevocationRequest(.subject("corp:alice"), block: Revocation.Block(until: nil)), by: .daemon)
        let decision = try await refused(try bench.request(bench.token(["ref": "refs/heads/dev"])), bench)
        #expect(
            decision["summary"]?.string?.string
                == ("it was refused: no rule of corp matches; the nearest is main; and a revocation keeps it out "
                    + "all the same (see blocked)"))
        #expect(decision["blocked"]?.object != nil)
    }

    @Test func `a rule that does not grant what is asked for is behind those that do, and says so`() async throws {
        let near = try rule("near", [("ref", ["x"])], "a:read")
        let far = try rule("far", [("ref", ["x"]), ("event", ["push"])], "b:read")
        let bench = try ExchangeBench(rules: [near, far])
        let decision = try await refused(try bench.request(bench.token(), scope: ["b:read"]), bench)
        let rules = decision["rules"]?.array?.compactMap(\.object) ?? []
        try #require(rules.count == 2)
        #expect(rules.map { $0["rule"]?.string } == ["far", "near"])
        #expect(
            rules[1]["tests"]?.array?.contains(
                ["parameter": "scope", "wanted": ["a:read"], "held": false, "got": ["b:read"]]) == true)
        #expect(decision["changes"]?.array?.contains { $0.object?["parameter"] != nil } == false)
        let all = try await refused(try bench.request(bench.token()), bench)
        #expect(all["rules"]?.array?.first?.object?["rule"] == "near")
    }

    @Test func `where no rule grants what is asked for, the change says it, of scope and of audience`() async throws {
        let bench = try ExchangeBench(rules: [try rule("near", [("ref", ["x"])], "a:read")])
        let request = try bench.request(
            bench.token(), scope: ["b:read"], targets: ["https://third.example.com"])
        let refusal = try await refused(request, bench)
        let changes = refusal["changes"]?.array?.compactMap(\.object) ?? []
        try #require(changes.count == 3)
        #expect(changes.compactMap { $0["parameter"]?.string } == ["scope", "audience"])
        #expect(changes[1]["to"] == ["a:read"] && changes[1]["or_rule"] == nil)
        #expect(changes[1]["hint"] == "the rule grants no more than this, and more is asked for")
        #expect(changes[2]["to"] == ["https://gateway.example.com", "https://second.example.com"])
        // What a caller asks for does not fill the record.
        let many = (0..<64).map { "s\($0)" + String(repeating: "x", count: 120) }
        _ = await bench.refusal(try bench.request(bench.token(), scope: many))
        let explanation = try #require(bench.store.events.last?.details["explanation"])
        #expect(explanation.encoded().count < 1024)
    }

    @Test func `an id of a federation call that is missing says where it counts`() async throws {
        var ids = FederationIDs()
        ids[.organization] = "org-1"
        let rule = try #require(
            Rule(
                name: "main", issuer: Fixture.name(), matchers: [Fixture.matcher("sub", ["alice"])],
                federation: ids, terms: ExchangeBench.terms()))
        let bench = try ExchangeBench(rules: [rule])
        let decision = try await refused(try bench.request(bench.token()), bench)
        #expect(
            decision["changes"] == [
                [
                    "parameter": "organization_id", "to": ["org-1"],
                    "hint": "the request has no such parameter, which counts at POST /v1/oauth/token alone",
                ]
            ])
    }

    @Test func `a name that is longer than any rule's is said to be`() async throws {
        let bench = try ExchangeBench()
        let name = ExactString(String(repeating: "x", count: 400))
        let decision = try await refused(try bench.request(bench.token(), rule: name), bench)
        #expect(decision["summary"] == "it was refused: the caller named a rule of a longer name than any has")
    }

    @Test func `a renewal that the rule refuses by now says whether the rule is gone or does not match`() async throws {
        let first = try ExchangeBench()
        let response = try await first.opened()
        let changed = try ExchangeBench(
            rules: [ExchangeBench.main(match: [("sub", ["alice"]), ("ref", ["x"])])], after: first)
        let unmatched = try await refused(try changed.renewal(of: response.accessToken), changed)
        #expect(
            unmatched["summary"]?.string?.string
                == ("it was refused: the session's rule main does not match the claims any more that were kept "
                    + "of the session"))
        #expect(
            unmatched["rules"] == [
                [
                    "rule": "main", "nearest": true,
                    "tests": [
                        ["claim": "ref", "wanted": ["x"], "held": false, "got": "refs/heads/main"],
                        ["claim": "sub", "wanted": ["alice"], "held": true, "got": "alice"],
                    ],
                ]
            ])
        let without = try ExchangeBench(rules: [rule("other", [("sub", ["alice"])], "a:read")], after: first)
        let gone = try await refused(try without.renewal(of: response.accessToken), without)
        #expect(
            gone["summary"]
                == "it was refused: the session's rule main is gone: corp has none of that name for gateways any more")
        #expect(gone["rules"] == nil)
    }

    @Test func `what is wanted of an SVID is what is configured for its trust domain`() async throws {
        let bench = try SVIDBench(maximumLifetime: .seconds(900), replay: .once)
        let limits = [
            ProofLimits(try Fixture.configuration(bench.issuer)),
            ProofLimits(try bench.domain.configuration(maximumLifetime: .seconds(900), replay: .once)),
        ]
        func fact(_ changes: JSONObject) async throws -> JSONObject? {
            let token = try bench.domain.token(at: bench.clock.now, changes)
            let request = try bench.request(.proof(SecretText(token)))
            #expect(try await bench.refusal(request) != nil)
            return try await decision(request.trace, bench.store, limits)["facts"]?.array?.first?.object
        }
        let audience = try await fact(["aud": "https://elsewhere.example.com"])
        #expect(audience?["wanted"]?.string?.string == "\(TestTrustDomain.audience), by the configuration of now")
        let lifetime = try await fact(["iat": 1_799_990_000])
        #expect(lifetime?["wanted"] == "at most 900 s apart, by the configuration of now")
        _ = try await bench.opened(bench.domain.token(at: bench.clock.now))
        #expect(try await fact([:])?["wanted"] == "at most 1 times, by the configuration of now")
    }
}
