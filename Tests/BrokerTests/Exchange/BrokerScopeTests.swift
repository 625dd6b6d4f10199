import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// Tokens for the broker itself (`daypass:…`), and the ways to get at one, or to use one as something else.
@Suite struct `A scope of the broker's own` {
    private static func terms(_ scope: [String]) throws -> GrantTerms {
        try Fixture.terms(scope: scope, timeToLive: .seconds(600), audiences: [Fixture.broker])
    }

    /// An ordinary rule first, and two for the broker; all match alice.
    private func bench(replay: ReplayPolicy = .off, adminsMatch: String = "alice") throws -> ExchangeBench {
        try ExchangeBench(
            replay: replay,
            rules: [
                ExchangeBench.main(),
                Fixture.rule("feeds", texts: [("sub", ["alice"])], terms: Self.terms(["daypass:revocations"])),
                Fixture.rule(
                    "admins", texts: [("sub", [adminsMatch])],
                    terms: Self.terms(["daypass:admin", "daypass:introspect"])),
            ])
    }

    /// How a request is refused, and the reason on the record; nil where it was granted.
    private func refusal(_ bench: ExchangeBench, _ request: ExchangeRequest) async throws -> String? {
        guard let refusal = await bench.refusal(request) else { return nil }
        let reasons = try await bench.store.auditEvents(trace: request.trace).map { $0.reason ?? "granted" }
        return "\(refusal.name): \(reasons.joined(separator: ", "))"
    }

    @Test func `is never granted to who asks for everything`() async throws {
        let bench = try bench()
        let response = try await bench.opened()
        #expect(response.scope == (try Fixture.scopes(["a:read", "a:write"])))
        #expect(try bench.claims(response)["aud"] == .string(Fixture.gateway))
        // Also where no ordinary rule is there.
        let admins = try ExchangeBench(rules: [
            Fixture.rule("admins", texts: [("sub", ["alice"])], terms: Self.terms(["daypass:admin"]))
        ])
        #expect(try await refusal(admins, admins.request(admins.token())) == "subjectToken: no_rule")
    }

    @Test func `is granted where it is asked for, behind an ordinary rule that matches too`() async throws {
        let bench = try bench()
        let response = try await bench.opened(scope: ["daypass:admin"])
        let claims = try bench.claims(response)
        #expect(claims["rule"] == "admins" && claims["scope"] == "daypass:admin")
        #expect(claims["aud"] == .string(Fixture.broker) && claims["iss"] == .string(Fixture.broker))
        #expect(response.lifetime == 600)
        let session = try #require(bench.store.sessions.first)
        #expect(session.end.timeIntervalSince(session.start) == 600)
        let both = try await bench.opened(scope: ["daypass:introspect", "daypass:admin"])
        #expect(both.scope == (try Fixture.scopes(["daypass:admin", "daypass:introspect"])))
        #expect(try bench.claims(await bench.opened(scope: ["daypass:revocations"]))["rule"] == "feeds")
    }

    @Test func `is granted where its rule is named, all of it or what is asked for`() async throws {
        let bench = try bench()
        let all = try await bench.exchange.exchange(bench.request(bench.token(), rule: "admins"))
        #expect(all.scope == (try Fixture.scopes(["daypass:admin", "daypass:introspect"])))
        let one = try bench.request(bench.token(), scope: ["daypass:introspect"], rule: "admins")
        #expect(try await bench.exchange.exchange(one).scope == Fixture.scopes(["daypass:introspect"]))
    }

    @Test(
        arguments: [
            (["a:read", "daypass:admin"], nil), (["daypass:admin", "a:read"], nil),
            (["daypass:admin", "daypass:revocations"], nil), (["daypass:admin", "daypass:other"], nil),
            (["a:read", "daypass:admin"], "admins"), (["a:read", "daypass:admin"], "main"),
            (["daypass:admin"], "main"), (["a:read"], "admins"), (["daypass:admin"], "feeds"),
        ] as [([String], ExactString?)])
    func `is never granted together with others, nor by another rule`(scope: [String], rule: ExactString?) async throws
    {
        let bench = try bench()
        #expect(try await refusal(bench, bench.request(bench.token(), scope: scope, rule: rule)) == "scope: scope")
        #expect(bench.store.sessions.isEmpty)
    }

    @Test(arguments: [
        ["daypass:other"], ["DAYPASS:ADMIN"], ["Daypass:admin"], ["daypass:"], ["a:read", "daypass:other"],
    ])
    func `that no rule has leads to no rule at all`(scope: [String]) async throws {
        let bench = try bench()
        #expect(try await refusal(bench, bench.request(bench.token(), scope: scope)) == "subjectToken: no_rule")
    }

    @Test func `is refused, with what failed on the record, where its rules do not match`() async throws {
        let bench = try bench(adminsMatch: "root")
        let request = try bench.request(bench.token(), scope: ["daypass:admin"])
        #expect(try await refusal(bench, request) == "subjectToken: no_rule")
        let event = try #require(bench.store.events.last)
        let rules = event.details["explanation"]?.object?["rules"]?.array?.compactMap { $0.object?["rule"] }
        #expect(rules == ["admins"])
    }

    @Test(arguments: [[Fixture.gateway], [Fixture.broker, Fixture.gateway], ["https://second.example.com"]])
    func `is for no audience but the broker`(targets: [ExactString]) async throws {
        let bench = try bench()
        let request = try bench.request(bench.token(), scope: ["daypass:admin"], targets: targets)
        #expect(try await refusal(bench, request) == "target: target")
        let own = try bench.request(bench.token(), scope: ["daypass:admin"], targets: [Fixture.broker])
        #expect(try await refusal(bench, own) == nil)
        let ordinary = try bench.request(bench.token(), targets: [Fixture.broker])
        #expect(try await refusal(bench, ordinary) == "target: target", "a gateway token for the broker")
    }

    @Test(arguments: [[], ["daypass:admin"], ["a:read"]])
    func `opens nothing at a gateway, whatever that requires`(scope: [String]) async throws {
        let bench = try bench()
        let token = try await bench.opened(scope: ["daypass:admin"]).accessToken
        let requirement = Requirement(scopes: try Fixture.scopes(scope))
        guard
            case .deny(.token(.audience)) = bench.verifier.verdict(
                for: token, requiring: requirement, presentedBy: nil, at: bench.clock.now)
        else {
            Issue.record("it was not refused as a token for somebody else")
            return
        }
    }

    @Test(arguments: [nil, ["daypass:admin"], ["daypass:introspect"], ["a:read"]] as [[String]?])
    func `is neither renewed nor narrowed, on the record`(scope: [String]?) async throws {
        let bench = try bench()
        let response = try await bench.opened(scope: ["daypass:admin", "daypass:introspect"])
        #expect(try await bench.refusal(renewing: response, scope: scope) == "subjectToken: for_broker")
        let event = try #require(bench.store.events.last)
        #expect(event.kind == .exchangeRefused && event.subject == "corp:alice" && event.rule == "admins")
        #expect(event.sessionID == response.sessionID)
        #expect(event.details["client"] == "192.0.2.7")
        #expect(try await bench.refusal(renewing: response, actor: bench.actorToken()) == "subjectToken: for_broker")
        #expect(bench.store.sessions.count == 1)
    }

    @Test func `is not to be had by renewing or narrowing a gateway token`() async throws {
        let bench = try bench()
        let response = try await bench.opened()
        for scope in [["daypass:admin"], ["a:read", "daypass:admin"]] {
            #expect(try await bench.refusal(renewing: response, scope: scope) == "scope: scope")
        }
        #expect(try await bench.refusal(renewing: response, targets: [Fixture.broker]) == "target: target")
    }

    @Test func `is not to be had by a rule that came to have it after the session began`() async throws {
        let before = try bench()
        let response = try await before.opened()
        let changed = try ExchangeBench(
            rules: [
                Fixture.rule("main", texts: [("sub", ["alice"])], terms: Self.terms(["daypass:admin"]))
            ], after: before)
        #expect(try await changed.refusal(renewing: response) == "subjectToken: no_rule")
        // Nor the other way round: the rule is an ordinary one by now.
        let admin = try await changed.opened(scope: ["daypass:admin"])
        #expect(try await before.refusal(renewing: admin) == "subjectToken: for_broker")
    }

    @Test func `is of a session of its own when the rule of a proof's first session came to have it`() async throws {
        let before = try bench(replay: .standard)
        let token = try before.token()
        let gateway = try await before.exchange.exchange(before.request(token))
        let changed = try ExchangeBench(
            rules: [
                Fixture.rule("main", texts: [("sub", ["alice"])], terms: Self.terms(["daypass:admin"]))
            ], after: before)
        let own = try await changed.exchange.exchange(changed.request(token, scope: ["daypass:admin"]))
        #expect(own.sessionID != gateway.sessionID)
        // Each is joined by its own kind, there and back.
        let ownAgain = try await changed.exchange.exchange(changed.request(token, scope: ["daypass:admin"]))
        #expect(ownAgain.sessionID == own.sessionID)
        let gatewayAgain = try await before.exchange.exchange(before.request(token))
        #expect(gatewayAgain.sessionID == gateway.sessionID)
    }

    @Test func `refused to a renewal is on the record with the client's address`() async throws {
        let bench = try bench()
        let own = try await bench.opened(scope: ["daypass:admin"])
        let request = ExchangeRequest(trace: TraceID(), client: "192.0.2.7", subject: .gatewayToken(own.accessToken))
        #expect(await bench.refusal(request)?.name == "subjectToken")
        #expect(bench.store.events.last?.reason == "for_broker")
        #expect(bench.store.events.last?.details["client"] == "192.0.2.7")
    }

    @Test func `is of a session of its own when one proof is used for both, and both uses count`() async throws {
        let bench = try bench(replay: .window(maximumUses: 3))
        let token = try bench.token()
        let gateway = try await bench.exchange.exchange(bench.request(token))
        let own = try await bench.exchange.exchange(bench.request(token, scope: ["daypass:admin"]))
        #expect(gateway.sessionID != own.sessionID)
        let joined = try await bench.exchange.exchange(bench.request(token, rule: "main"))
        #expect(joined.sessionID == gateway.sessionID)
        #expect(joined.scope == gateway.scope)
        let again = try bench.request(token, scope: ["daypass:admin"])
        #expect(try await refusal(bench, again) == "subjectToken: replayed")
    }

    @Test func `joined by the same proof ends with the first token`() async throws {
        let bench = try bench(replay: .standard)
        let token = try bench.token()
        _ = try await bench.exchange.exchange(bench.request(token, scope: ["daypass:admin"]))
        bench.clock.advance(by: .seconds(200))
        let second = try await bench.exchange.exchange(bench.request(token, scope: ["daypass:admin"]))
        #expect(second.lifetime == 400)
        #expect(bench.store.sessions.count == 1)
    }

    @Test func `stands in a grant alone, without models, a longer session or other audiences`() throws {
        func terms(
            _ texts: [String], session: Duration? = nil, models: [Glob]? = nil,
            audiences: [ExactString] = [Fixture.broker]
        ) throws -> GrantTerms? {
            let scope = try Fixture.scopes(texts)
            return GrantTerms(
                scope: scope, timeToLive: .seconds(600), maximumSession: session, models: models, audiences: audiences)
        }
        #expect(try terms(Scope.ownTexts)?.isForBroker == true)
        #expect(try terms(["a:read"])?.isForBroker == false)
        #expect(try terms(["daypass:admin", "a:read"]) == nil)
        #expect(try terms(["a:read", "daypass:admin"]) == nil)
        #expect(try terms(["daypass:admins"]) == nil)
        #expect(try terms(["DayPass:admin"]) == nil)
        #expect(try terms(["daypass:admin"], session: .seconds(601)) == nil)
        #expect(try terms(["daypass:admin"], models: [Glob(parsing: "*")]) == nil)
        #expect(try terms(["daypass:admin"], audiences: [Fixture.broker, Fixture.gateway]) == nil)
    }
}
