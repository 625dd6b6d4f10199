import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite struct ExchangeMetricsTests {
    private func metrics() throws -> ExchangeMetrics {
        let match = [("repository_id", ["1"])]
        return ExchangeMetrics(
            issuers: [try Fixture.name("corp"), try Fixture.name("github")],
            rules: [
                try Fixture.rule("a", issuer: "corp", texts: match),
                try Fixture.rule("b\"\\", issuer: "github", texts: match),
            ])
    }

    @Test func `grants and refusals are counted by issuer, rule and reason`() throws {
        let metrics = try metrics()
        let corp = try Fixture.name("corp")
        metrics.granted(issuer: corp, rule: "a", session: .opened)
        metrics.granted(issuer: try Fixture.name("github"), rule: "b\"\\", session: .renewed)
        metrics.refused(reason: .signature)
        metrics.refused(issuer: corp, reason: .noRule)
        metrics.refused(issuer: corp, rule: "a", reason: .scope)
        let lines = metrics.lines
        for line in [
            #"daypass_exchanges_granted_total{issuer="corp",rule="a"} 1"#,
            #"daypass_exchanges_granted_total{issuer="github",rule="b\"\\"} 1"#,
            #"daypass_exchanges_refused_total{issuer="",rule="",reason="signature"} 1"#,
            #"daypass_exchanges_refused_total{issuer="corp",rule="",reason="no_rule"} 1"#,
            #"daypass_exchanges_refused_total{issuer="corp",rule="a",reason="scope"} 1"#,
            #"daypass_sessions_total{event="opened"} 1"#, #"daypass_sessions_total{event="renewed"} 1"#,
        ] {
            #expect(lines.contains(line), "\(line)")
        }
    }

    @Test(arguments: ["gone", "b\"\\", "a "])
    func `a rule that is not configured for the issuer counts for the issuer alone`(_ rule: ExactString) throws {
        let metrics = try metrics()
        metrics.refused(issuer: try Fixture.name("corp"), rule: rule, reason: .noRule)
        #expect(
            metrics.lines.filter { $0.hasPrefix("daypass_exchanges_refused_total") }
                == [#"daypass_exchanges_refused_total{issuer="corp",rule="",reason="no_rule"} 1"#])
    }

    @Test func `what could not be decided is counted with its reason, for renewals too`() async throws {
        let first = try ExchangeBench()
        let token = try await first.opened()
        let unread = try ExchangeMetrics(issuers: [Fixture.name("corp")], rules: [ExchangeBench.main()])
        let broken = try ExchangeBench(after: first, metrics: unread)
        broken.store.fail(with: StoreFailure(.unavailable, "read", cause: "disk"))
        #expect(await broken.refusal(try broken.renewal(of: token.accessToken))?.name == "unavailable")
        #expect(unread.refusals == [#"daypass_exchanges_refused_total{issuer="corp",rule="main",reason="store"} 1"#])
        broken.store.fail(with: nil)
        for scope in [nil, ["a:read"]] {
            let unminted = try ExchangeMetrics(issuers: [Fixture.name("corp")], rules: [ExchangeBench.main()])
            let bench = try ExchangeBench(
                random: ScriptedRandom(failingFromCall: 1), after: first, metrics: unminted)
            let request = try bench.renewal(of: token.accessToken, scope: scope)
            #expect(await bench.refusal(request)?.name == "unavailable")
            #expect(
                unminted.refusals == [#"daypass_exchanges_refused_total{issuer="corp",rule="main",reason="mint"} 1"#])
        }
    }

    @Test func `an issuer that is not configured counts for nobody`() throws {
        let metrics = try metrics()
        metrics.granted(issuer: try Fixture.name("gone"), rule: "a", session: .opened)
        #expect(metrics.lines.contains(#"daypass_exchanges_granted_total{issuer="",rule=""} 1"#))
        #expect(metrics.lines.contains(#"daypass_exchanges_granted_total{issuer="corp",rule="a"} 0"#))
    }

    @Test func `the timer counts each step from the end of the one before, and the whole from the start`() throws {
        let metrics = try metrics()
        let clock = ManualClock()
        var timer = ExchangeTimer(metrics, clock)
        clock.advance(by: .milliseconds(1))
        timer.ended(.authenticate)
        clock.advance(by: .milliseconds(2))
        timer.ended(.match)
        timer.granted()
        timer.refused(.unavailable(ExchangeOutage(.store, cause: "x")))
        let lines = metrics.lines
        #expect(lines.contains(#"daypass_exchange_step_duration_seconds_sum{step="authenticate"} 0.001"#))
        #expect(lines.contains(#"daypass_exchange_step_duration_seconds_sum{step="match"} 0.002"#))
        #expect(lines.contains(#"daypass_exchange_duration_seconds_sum{outcome="granted"} 0.003"#))
        #expect(lines.contains(#"daypass_exchange_duration_seconds_count{outcome="unavailable"} 1"#))
        #expect(lines.contains(#"daypass_exchange_duration_seconds_count{outcome="refused"} 0"#))
    }

    @Test(
        arguments: [
            .jws(.signature), .jws(.algorithm), .algorithm, .claim("sub"), .unknownIssuer, .ambiguousIssuer, .type,
            .noKeyID, .unknownKey, .logoutToken, .audience, .expired, .notYetValid, .issuedInTheFuture, .lifetime,
            .keysUnavailable("x"),
        ] as [AuthenticationFailure.Reason])
    func `a reason has one word in metrics and in records`(_ reason: AuthenticationFailure.Reason) {
        #expect(RefusalReason(reason).text == reason.code)
    }

    @Test(arguments: [.signature, .expired, .notYetValid, .audience, .key] as [Denial.TokenFault])
    func `a gateway token's fault has the word that it has elsewhere`(_ fault: Denial.TokenFault) {
        #expect(RefusalReason(fault).text == fault.rawValue)
    }

    @Test func `with 1,000 issuers and 10,000 rules a scrape stays bounded and no event is lost`() throws {
        let names = try (0..<1000).map { try Fixture.name("issuer-\($0)") }
        let matcher = try Fixture.matcher("repository_id", ["1"])
        let terms = try Fixture.terms()
        let rules = try (0..<10_000).map { index in
            try #require(Rule(name: "rule-\(index)", issuer: names[index % 1000], matchers: [matcher], terms: terms))
        }
        let metrics = ExchangeMetrics(issuers: names, rules: rules)
        for rule in rules {
            metrics.granted(issuer: rule.issuer, rule: rule.name, session: .opened)
            for reason in RefusalReason.allCases {
                metrics.refused(issuer: rule.issuer, rule: rule.name, reason: reason)
            }
        }
        let lines = metrics.lines
        func counts(_ name: String) -> [Int] {
            lines.filter { $0.hasPrefix(name) }.compactMap { Int($0.split(separator: " ").last ?? "") }
        }
        let (granted, refused) = (counts("daypass_exchanges_granted_total"), counts("daypass_exchanges_refused_total"))
        #expect(granted.count == 10_000 && granted.reduce(0, +) == 10_000)
        #expect(refused.count == 10_000)
        #expect(refused.reduce(0, +) == 10_000 * RefusalReason.allCases.count)
        #expect(lines.count < 20_200)
    }
}

extension ExchangeMetrics {
    fileprivate var refusals: [String] { lines.filter { $0.hasPrefix("daypass_exchanges_refused_total{") } }
}
