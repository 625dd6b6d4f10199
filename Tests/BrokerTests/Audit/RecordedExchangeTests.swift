import Broker
import BrokerTesting
import JOSE
import Testing

/// What an exchange leaves in the audit record is enough to decide it again.
@Suite struct RecordedExchangeTests {
    private func recorded(_ bench: ExchangeBench) throws -> RecordedExchange {
        let event = try #require(bench.store.events.last)
        return try #require(RecordedExchange(event))
    }

    @Test func `a grant is decided again as it was, with all that was asked for`() async throws {
        let bench = try ExchangeBench()
        var request = try bench.request(
            bench.token(), scope: ["a:write"], targets: ["https://second.example.com"], rule: "main")
        var ids = FederationIDs()
        ids[.workspace] = "w1"
        request = ExchangeRequest(
            trace: request.trace, client: request.client, subject: request.subject, scope: request.scope,
            targets: request.targets, rule: request.rule, federation: ids)
        _ = try await bench.exchange.exchange(request)
        let event = bench.store.events[0]
        #expect(
            event.details["asked"] == [
                "rule": "main", "scope": ["a:write"], "audiences": ["https://second.example.com"], "workspace_id": "w1",
            ])
        let exchange = try recorded(bench)
        #expect(exchange.subject == "corp:alice" && exchange.trace == request.trace)
        #expect(exchange.question.named == "main" && exchange.question.federation == ids)
        let scope = try Fixture.scopes(["a:write"])
        #expect(
            exchange.answer
                == .granted(.init(rule: "main", scope: scope, audience: "https://second.example.com")))
        #expect(bench.exchange.rules.answer(to: exchange.question) == exchange.answer)
    }

    @Test func `a request that asks for nothing leaves nothing of it, and absent claims are named`() async throws {
        let rules = [
            try Fixture.rule("main", texts: [("sub", ["alice"])]),
            try Fixture.rule("other", texts: [("environment", ["prod"]), ("ref", ["x"]), ("/k8s/ns", ["y"])]),
        ]
        let bench = try ExchangeBench(rules: rules)
        _ = try await bench.opened()
        #expect(bench.store.events[0].details["asked"] == nil)
        #expect(bench.store.events[0].details["absent"] == ["environment", "k8s"])
        let all = try ExchangeBench(keptClaims: .all, rules: rules)
        _ = try await all.opened()
        #expect(all.store.events[0].details["absent"] == true)
        let none = try ExchangeBench(rules: [rules[0]])
        _ = try await none.opened()
        #expect(none.store.events[0].details["absent"] == nil)
    }

    @Test func `the names of absent claims are bounded, and of others nothing is known`() async throws {
        let names = (0..<100).map { "claim-\($0)-" + String(repeating: "n", count: 50) }
        let rules =
            [try Fixture.rule("main", texts: [("sub", ["alice"])])]
            + [try Fixture.rule("many", texts: names.prefix(64).map { ($0, ["x"]) })]
        let bench = try ExchangeBench(rules: rules)
        _ = try await bench.opened()
        let listed = try #require(bench.store.events[0].details["absent"]?.array)
        let absent = listed.compactMap { $0.string?.string }
        #expect((1..<64).contains(absent.count))
        #expect(absent.joined().utf8.count <= 1024)
        let claims = try recorded(bench).question.claims
        for name in names.prefix(64) {
            let value = claims.value(at: try #require(ClaimPath(parsing: name)))
            #expect(value == (absent.contains(name) ? .none : .unknown))
        }
    }

    @Test(
        arguments: [
            (["ref": "refs/heads/dev"], nil, nil, .noRule), ([:], ["a:admin"], nil, .scope),
            ([:], nil, ["https://third.example.com"], .target),
            ([:], nil, ["https://second.example.com", "https://gateway.example.com"], .target),
            ([:], ["daypass:keys"], nil, .noRule),
        ] as [(JSONObject, [String]?, [ExactString]?, RuleAnswer.Refusal)])
    func `a refusal by the rules is decided again as it was`(
        _ claims: JSONObject, _ scope: [String]?, _ targets: [ExactString]?, _ reason: RuleAnswer.Refusal
    ) async throws {
        let bench = try ExchangeBench()
        let request = try bench.request(bench.token(claims), scope: scope, targets: targets ?? [])
        #expect(await bench.refusal(request) != nil)
        let exchange = try recorded(bench)
        #expect(exchange.answer == .refused(reason))
        #expect(bench.exchange.rules.answer(to: exchange.question) == .refused(reason))
    }

    @Test func `of a request for more scopes than are recorded the grant says the others, and a refusal is left out`()
        async throws
    {
        let many = (0..<20).map { "s:\($0)" }
        let rule = try Fixture.rule("main", texts: [("sub", ["alice"])], terms: ExchangeBench.terms(scope: many))
        let bench = try ExchangeBench(rules: [rule])
        _ = try await bench.opened(scope: Array(many.prefix(17)))
        #expect(bench.store.events[0].details["asked"]?.object?["omitted_scope"] == 1)
        let exchange = try recorded(bench)
        #expect(exchange.question.scope?.map(\.text.string) == Array(many.prefix(17)))
        #expect(bench.exchange.rules.answer(to: exchange.question) == exchange.answer)
        let more = try bench.request(bench.token(["jti": "t2"]), scope: many + ["s:none"])
        #expect(await bench.refusal(more)?.name == "scope")
        let refused = try #require(bench.store.events.last)
        #expect(refused.reason == "scope" && RecordedExchange(refused) == nil)
    }

    @Test func `an audience that is kept as its digest is compared by it`() async throws {
        let long = ExactString("https://" + String(repeating: "a", count: 400) + ".example.com")
        let rule = try Fixture.rule(
            "main", texts: [("sub", ["alice"])], terms: ExchangeBench.terms(audiences: [Fixture.gateway, long]))
        let bench = try ExchangeBench(rules: [rule])
        _ = try await bench.opened(targets: [long])
        let exchange = try recorded(bench)
        #expect(bench.exchange.rules.answer(to: exchange.question) == exchange.answer)
        #expect(exchange.question.targets != [.string(long)])
    }

    @Test func `a name that no rule can have stays one that no rule has`() async throws {
        let bench = try ExchangeBench()
        let name = ExactString(String(repeating: "r", count: 300))
        #expect(await bench.refusal(try bench.request(bench.token(), rule: name)) != nil)
        let exchange = try recorded(bench)
        #expect(exchange.question.named != nil)
        #expect(bench.exchange.rules.answer(to: exchange.question) == .refused(.noRule))
    }

    @Test func `what the rules did not decide is not decided again`() async throws {
        let bench = try ExchangeBench(replay: .once)
        _ = try await bench.opened()
        #expect(await bench.refusal(try bench.request(bench.token())) != nil)
        let replayed = try #require(bench.store.events.last)
        #expect(replayed.reason == "replayed" && RecordedExchange(replayed) == nil)
        let renewed = try await bench.renewed(try await bench.opened(["jti": "t2"]))
        #expect(renewed.scope.count == 2)
        let last = try #require(bench.store.events.last)
        #expect(last.kind == .sessionRenewed && RecordedExchange(last) == nil)
        #expect(RecordedExchange(Sample.keyEvent(.keyRotated)) == nil)
        // Without claims nothing could be told, and nothing may be.
        #expect(RecordedExchange(Sample.refusal()) == nil)
        #expect(RecordedExchange(Sample.grant(session: "s1")) == nil)
    }
}
