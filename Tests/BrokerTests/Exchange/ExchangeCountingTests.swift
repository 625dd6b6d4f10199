import Broker
import BrokerTesting
import JOSE
import Testing

/// What the metrics say of exchanges: each is in one counter, once, under the issuer and the rule that were known by then.
@Suite struct ExchangeCountingTests {
    private static let outage = StoreFailure(.unavailable, "record", cause: "disk full")

    /// The series of exchanges that are not at 0.
    private func counted(_ bench: ExchangeBench) -> [String] {
        bench.metrics.lines.filter { line in
            ["daypass_exchanges_granted_total{", "daypass_exchanges_refused_total{"].contains(where: line.hasPrefix)
                && !line.hasSuffix(" 0")
        }.map { String($0.dropFirst("daypass_exchanges_".count)) }
    }

    private func steps(_ bench: ExchangeBench) -> [String] {
        bench.metrics.lines.filter { $0.hasPrefix("daypass_exchange_step_duration_seconds_count") }
            .map { String($0.split(separator: " ").last ?? "") }
    }

    @Test(
        arguments: [
            ([:], nil, [], #"granted_total{issuer="corp",rule="main"} 1"#),
            (["ref": "x"], nil, [], #"refused_total{issuer="corp",rule="",reason="no_rule"} 1"#),
            (["aud": "x"], nil, [], #"refused_total{issuer="corp",rule="",reason="audience"} 1"#),
            (["iss": "https://x.example.com"], nil, [], #"refused_total{issuer="",rule="",reason="issuer"} 1"#),
            ([:], ["b"], [], #"refused_total{issuer="corp",rule="main",reason="scope"} 1"#),
            ([:], nil, ["https://x.example.com"], #"refused_total{issuer="corp",rule="main",reason="target"} 1"#),
        ] as [(JSONObject, [String]?, [ExactString], String)])
    func `an exchange is counted once, under what was known of it`(
        changes: JSONObject, scope: [String]?, targets: [ExactString], series: String
    ) async throws {
        let bench = try ExchangeBench()
        _ = await bench.refusal(try bench.request(bench.token(changes), scope: scope, targets: targets))
        #expect(counted(bench) == [series])
    }

    @Test func `a replay counts for the rule that it was for, on the record as well`() async throws {
        let bench = try ExchangeBench(replay: .once)
        let token = try bench.token()
        for _ in 0..<2 { _ = await bench.refusal(try bench.request(token)) }
        #expect(
            counted(bench) == [
                #"granted_total{issuer="corp",rule="main"} 1"#,
                #"refused_total{issuer="corp",rule="main",reason="replayed"} 1"#,
            ])
        #expect(bench.store.events.last?.rule == "main")
        #expect(bench.log.lines.last?.contains("rule=main") == true)
    }

    @Test func `what the store cannot record or read is counted, of proofs and of gateway tokens`() async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        bench.store.fail(with: Self.outage)
        let requests = [
            try bench.request(bench.token(["jti": "t2"])), try bench.request(bench.token(), scope: ["b"]),
            try bench.renewal(of: first.accessToken),
        ]
        for request in requests { #expect(await bench.refusal(request)?.name == "unavailable") }
        #expect(
            counted(bench) == [
                #"granted_total{issuer="corp",rule="main"} 1"#,
                #"refused_total{issuer="corp",rule="main",reason="store"} 3"#,
            ])
    }

    @Test(arguments: [1, 2])
    func `what cannot be minted is counted`(failingCall: Int) async throws {
        let bench = try ExchangeBench(random: ScriptedRandom(failingFromCall: failingCall))
        _ = await bench.refusal(try bench.request(bench.token()))
        #expect(counted(bench) == [#"refused_total{issuer="corp",rule="main",reason="mint"} 1"#])
    }

    @Test(arguments: [nil, ["a:read"]] as [[String]?])
    func `what cannot be minted for a gateway token is counted`(scope: [String]?) async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        let broken = try ExchangeBench(random: ScriptedRandom(failingFromCall: 1), after: bench)
        _ = await broken.refusal(try broken.renewal(of: first.accessToken, scope: scope))
        #expect(counted(broken) == [#"refused_total{issuer="corp",rule="main",reason="mint"} 1"#])
    }

    @Test func `keys that are not known count as that, once, for subjects and for actors`() async throws {
        let fetcher = StubKeySetFetcher(.failure(KeySetFetchFailure("no route to issuer.example.com")))
        let known = try ExchangeBench()
        let first = try await known.opened()
        let bench = try ExchangeBench(fetcher: fetcher, after: known)
        _ = await bench.refusal(try bench.request(bench.token()))
        #expect(counted(bench) == [#"refused_total{issuer="",rule="",reason="keys_unavailable"} 1"#])
        let request = try bench.renewal(of: first.accessToken, actor: bench.token(["sub": "bob"]))
        _ = await bench.refusal(request)
        #expect(counted(bench) == [#"refused_total{issuer="",rule="",reason="keys_unavailable"} 2"#])
        #expect(bench.log.lines.count == 2, "one line each")
        #expect(bench.log.lines.allSatisfy { $0.contains("reason=keys_unavailable") })
    }

    @Test func `renewals and narrowings are timed step by step, like exchanges`() async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        #expect(steps(bench) == ["1", "1", "1", "1"])
        _ = try await bench.renewed(first)
        _ = try await bench.renewed(first, scope: ["a:read"])
        #expect(steps(bench) == ["3", "3", "3", "3"])
        _ = try await bench.refusal(renewing: first, scope: ["b"])
        #expect(steps(bench) == ["4", "3", "3", "3"], "the step that refused did not end")
    }
}
