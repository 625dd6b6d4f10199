import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// The same subject token again.
@Suite struct `Replay` {
    /// The reason on the record of a request that was refused; nil where it was granted.
    private func reason(_ bench: ExchangeBench, _ request: ExchangeRequest) async throws -> String? {
        guard let refusal = await bench.refusal(request) else { return nil }
        #expect(refusal.name == "subjectToken")
        return try await bench.store.auditEvents(trace: request.trace).first?.reason
    }

    @Test func `off: each presentation opens a session of its own, without end`() async throws {
        let bench = try ExchangeBench(replay: .off)
        let token = try bench.token()
        var sessions: Set<ExactString> = []
        for _ in 0..<100 { sessions.insert(try await bench.exchange.exchange(bench.request(token)).sessionID) }
        #expect(sessions.count == 100)
        #expect(bench.store.sessions.count == 100)
    }

    @Test func `once: the second presentation is refused on the record`() async throws {
        let bench = try ExchangeBench(replay: .once)
        let token = try bench.token()
        let first = try await bench.exchange.exchange(bench.request(token))
        #expect(try await reason(bench, bench.request(token)) == "replayed")
        let event = try #require(bench.store.events.last)
        #expect(event.kind == .exchangeRefused && event.subject == "corp:alice")
        #expect(event.rule == "main")
        #expect(event.details["claims"]?.object?["jti"] == "t1")
        #expect(bench.store.sessions.map(\.id) == [first.sessionID])
        // A token of another jti is another token; and what was granted may be renewed.
        #expect(try await reason(bench, bench.request(bench.token(["jti": "t2"]))) == nil)
        #expect(try await bench.refusal(renewing: first) == nil)
    }

    @Test func `window: further presentations join the session of the first, within its end`() async throws {
        let bench = try ExchangeBench(replay: .window(maximumUses: 3))
        let token = try bench.token(["exp": 1_800_003_600])
        let first = try await bench.exchange.exchange(bench.request(token))
        bench.clock.advance(by: .seconds(3000))
        let second = try await bench.exchange.exchange(bench.request(token))
        #expect(second.sessionID == first.sessionID)
        #expect(second.lifetime == 600)
        let claims = try bench.claims(second)
        #expect(claims["lin"] == [.string(first.sessionID)])
        #expect(claims["exp"] == 1_800_003_600)
        #expect(claims["iat"] == 1_800_003_000)
        let event = try #require(bench.store.events.last)
        #expect(event.kind == .exchangeGranted && event.sessionID == first.sessionID)
        #expect(event.tokenID == claims["jti"]?.string)
        #expect(event.details["claims"]?.object == bench.store.sessions[0].claims)
        #expect(bench.store.sessions.count == 1)
        let third = try await bench.exchange.exchange(bench.request(token))
        #expect(try bench.claims(third)["jti"] != claims["jti"])
        #expect(try await reason(bench, bench.request(token)) == "replayed")
        #expect(bench.store.sessions.count == 1)
    }

    @Test func `window: a presentation after the session's end gets nothing, and uses up nothing`() async throws {
        let bench = try ExchangeBench(
            replay: .window(maximumUses: 2),
            rules: [ExchangeBench.main(ExchangeBench.terms(timeToLive: .seconds(60), maximumSession: .seconds(60)))])
        let token = try bench.token()
        let first = try await bench.exchange.exchange(bench.request(token))
        bench.clock.advance(by: .seconds(60))
        #expect(try await reason(bench, bench.request(token)) == "session_over")
        #expect(bench.store.events.last?.sessionID == first.sessionID)
        bench.clock.advance(by: .seconds(-1))
        #expect(try await bench.exchange.exchange(bench.request(token)).lifetime == 1)
    }

    @Test func `window: with another rule, or another actor, a presentation opens a session of its own`() async throws {
        let both = try Fixture.rule("also", texts: [("sub", ["alice"])], terms: ExchangeBench.terms())
        let bench = try ExchangeBench(
            replay: .window(maximumUses: 6), rules: ExchangeBench.standardRules() + [both])
        let token = try bench.token()
        func session(rule: ExactString? = nil, actor: String? = nil) async throws -> ExactString {
            try await bench.exchange.exchange(bench.request(token, actor: actor, rule: rule)).sessionID
        }
        let first = try await session()
        let other = try await session(rule: "also")
        let acted = try await session(actor: bench.actorToken())
        let actedByAnother = try await session(actor: bench.actorToken("another"))
        #expect(Set([first, other, acted, actedByAnother]).count == 4)
        #expect(try await session(rule: "also") == other)
        #expect(try await session(actor: bench.actorToken("agent", ["jti": "other"])) == acted)
        // All of them count together.
        for (rule, actor) in [(nil, nil), ("also", nil), (nil, try bench.actorToken())] as [(ExactString?, String?)] {
            #expect(try await reason(bench, bench.request(token, actor: actor, rule: rule)) == "replayed")
        }
        let sessions = bench.store.sessions
        #expect(sessions.map(\.lineage) == sessions.map { [$0.id] })
    }

    @Test func `window: each presentation has its own scope and audience`() async throws {
        let bench = try ExchangeBench()
        let token = try bench.token()
        let narrow = try await bench.exchange.exchange(bench.request(token, scope: ["a:read"]))
        let wide = try await bench.exchange.exchange(
            bench.request(token, targets: ["https://second.example.com"]))
        #expect(narrow.sessionID == wide.sessionID)
        #expect(wide.scope.map(\.text) == ["a:read", "a:write"])
        #expect(try await bench.renewed(narrow).scope.map(\.text) == ["a:read"], "not the session's, the token's")
        #expect(try await bench.claims(bench.renewed(wide))["aud"] == "https://second.example.com")
    }

    @Test(arguments: [ReplayPolicy.off, .once, .window(maximumUses: 32), .standard])
    func `fifty presentations at once are as many tokens as may be`(policy: ReplayPolicy) async throws {
        let bench = try ExchangeBench(replay: policy)
        let token = try bench.token()
        let sessions = try await withThrowingTaskGroup(of: ExactString?.self) { group in
            for _ in 0..<50 {
                group.addTask { try? await bench.exchange.exchange(bench.request(token)).sessionID }
            }
            return try await group.reduce(into: [ExactString?]()) { $0.append($1) }
        }.compactMap(\.self)
        let expected = policy.maximumUses ?? 50
        #expect(sessions.count == expected)
        #expect(Set(sessions).count == (policy == .off ? 50 : 1))
        #expect(Set(bench.store.sessions.map(\.id)) == Set(sessions), "and there is no session without a token")
        #expect(bench.store.events.count { $0.kind == .exchangeGranted } == expected)
        #expect(bench.store.events.count { $0.reason == "replayed" } == 50 - expected)
        let tokens = bench.store.events.compactMap(\.tokenID)
        #expect(Set(tokens).count == expected)
    }

    @Test func `a presentation that is granted nothing uses up nothing`() async throws {
        let bench = try ExchangeBench(replay: .once)
        let token = try bench.token()
        for request in [
            try bench.request(token, rule: "tags"), try bench.request(token, scope: ["b"]),
            try bench.request(token, targets: ["https://third.example.com"]),
        ] { #expect(await bench.refusal(request) != nil) }
        bench.store.fail(with: StoreFailure(.unavailable, "record", cause: "disk full"))
        #expect(await bench.refusal(try bench.request(token))?.name == "unavailable")
        bench.store.fail(with: nil)
        #expect(await bench.refusal(try bench.request(token)) == nil)
        #expect(try await reason(bench, bench.request(token)) == "replayed")
    }

    @Test func `a limit that is changed counts what there was`() async throws {
        let bench = try ExchangeBench(replay: .window(maximumUses: 2))
        let token = try bench.token()
        for _ in 0..<2 { _ = try await bench.exchange.exchange(bench.request(token)) }
        #expect(try await reason(bench, bench.request(token)) == "replayed")
        let wider = try ExchangeBench(replay: .window(maximumUses: 3), after: bench)
        #expect(try await reason(wider, wider.request(token)) == nil)
        let once = try ExchangeBench(replay: .once, after: bench)
        #expect(try await reason(once, once.request(token)) == "replayed")
    }

    @Test(arguments: [ReplayPolicy.off, .once, .window(maximumUses: 7)])
    func `what a presentation uses up is remembered for as long as the token is accepted`(
        policy: ReplayPolicy
    ) async throws {
        let issuer = try Fixture.quick
        let authenticator = try Fixture.authenticator(issuer, Fixture.configuration(issuer, replay: policy))
        let token = try issuer.token(issuer.claims(at: Fixture.now).merging(["exp": .number(1_800_000_300.75)]))
        let use = try await authenticator.authenticate(SecretText(token), at: Fixture.now).use
        #expect(use?.maximumUses == policy.maximumUses)
        #expect(use?.expires == (policy == .off ? nil : Fixture.now.addingTimeInterval(330)))
        #expect(use?.key.count == (policy == .off ? nil : 32))
        let last = Fixture.now.addingTimeInterval(329.999)
        #expect(try await authenticator.authenticate(SecretText(token), at: last).use == use)
        #expect(await refusal(of: token, by: authenticator, at: Fixture.now.addingTimeInterval(330)) == .expired)
    }

    // MARK: The same token

    @Test func `the malleable twin of an ES256 token is the same token`() async throws {
        let bench = try ExchangeBench(issuer: TestIssuer(algorithm: .ES256), replay: .once)
        let token = try bench.token()
        var twin = TokenSegments(token)
        twin.signatureBytes = P256Order.twin(of: twin.signatureBytes)
        #expect(twin.token != token)
        #expect(try await reason(bench, bench.request(twin.token)) == nil, "its signature is good as well")
        #expect(try await reason(bench, bench.request(token)) == "replayed")
        #expect(try await reason(bench, bench.request(twin.token)) == "replayed")
    }

    @Test func `a token that is signed again is the same token, whatever the signature`() async throws {
        let bench = try ExchangeBench(issuer: TestIssuer(algorithm: .ES256), replay: .once)
        let (header, claims) = (
            bench.issuer.header,
            bench.issuer.claims(at: bench.clock.now)
                .merging(["ref": "refs/heads/main"])
        )
        let tokens = Set(
            try (0..<5).map { _ in
                try bench.issuer.token(rawHeader: header.encoded(), rawPayload: claims.encoded())
            })
        #expect(tokens.count == 5, "ECDSA signs otherwise each time")
        let reasons = try await tokens.asyncMap { try await reason(bench, bench.request($0)) }
        #expect(reasons == [nil, "replayed", "replayed", "replayed", "replayed"])
    }

    @Test func `other ways to write a signature are no way around`() async throws {
        let bench = try ExchangeBench(issuer: TestIssuer(algorithm: .ES256), replay: .once)
        let token = try bench.token()
        _ = try await bench.exchange.exchange(bench.request(token))
        let good = TokenSegments(token)
        var (longer, shorter) = (good, good)
        longer.signatureBytes = [0] + good.signatureBytes.prefix(32) + [0] + good.signatureBytes.suffix(32)
        shorter.signatureBytes = good.signatureBytes.dropLast()
        for other in [
            token + "=", token + "==", token + "\n", " " + token, longer.token, shorter.token,
            "\(good.header)=.\(good.payload).\(good.signature)", "\(good.header).\(good.payload).\(good.signature)A",
        ] {
            let request = try bench.request(other)
            #expect(await bench.refusal(request)?.name == "subjectToken")
            #expect(try await bench.store.auditEvents(trace: request.trace).isEmpty, "it proves nothing")
        }
    }

    @Test func `the same claims in another order, or under another header, are another token of the issuer`()
        async throws
    {
        // Only the issuer can sign them, and it says with jti what one token is; the signed bytes are what we go by.
        let bench = try ExchangeBench(replay: .once)
        let claims = bench.issuer.claims(at: bench.clock.now).merging(["ref": "refs/heads/main"])
        let reversed = JSONObject(uniqueMembers: claims.members.reversed().map { ($0.name, $0.value) })
        for token in [
            try bench.issuer.token(claims), try bench.issuer.token(reversed),
            try bench.issuer.token(claims, header: ["typ": "at+jwt"]),
        ] {
            #expect(try await reason(bench, bench.request(token)) == nil)
            #expect(try await reason(bench, bench.request(token)) == "replayed")
        }
    }

    @Test func `under another name of its issuer a token has other subjects, and sessions and uses of its own`()
        async throws
    {
        let bench = try ExchangeBench()
        let token = try bench.token()
        let first = try await bench.exchange.exchange(bench.request(token))
        let renamed = try ExchangeBench(name: "other", replay: .window(maximumUses: 1), after: bench)
        let second = try await renamed.exchange.exchange(renamed.request(token))
        #expect(second.sessionID != first.sessionID)
        #expect(try bench.claims(second)["sub"] == "other:alice")
        #expect(try await reason(renamed, renamed.request(token)) == "replayed")
        #expect(try await reason(bench, bench.request(token)) == nil)
    }

    // MARK: Failures

    @Test func `a join that cannot be recorded gives no token and uses up nothing`() async throws {
        let bench = try ExchangeBench(replay: .window(maximumUses: 2))
        let token = try bench.token()
        _ = try await bench.exchange.exchange(bench.request(token))
        // It is told which session to join, and cannot record the token that it then made.
        let failing = try ExchangeBench(
            replay: .window(maximumUses: 2), after: bench, wrap: { FailingStore($0, afterRecords: 1) })
        guard case .unavailable(let outage) = await failing.refusal(try failing.request(token)) else {
            Issue.record("granted, or refused for another reason")
            return
        }
        #expect(outage.cause.contains("disk full"))
        #expect(bench.store.events.count == 1)
        #expect(try await reason(bench, bench.request(token)) == nil)
        #expect(try await reason(bench, bench.request(token)) == "replayed")
    }

    @Test func `a replay whose refusal cannot be recorded is unavailable`() async throws {
        let bench = try ExchangeBench(replay: .once)
        let token = try bench.token()
        _ = try await bench.exchange.exchange(bench.request(token))
        let failing = try ExchangeBench(replay: .once, after: bench, wrap: { FailingStore($0, afterRecords: 1) })
        #expect(await failing.refusal(try failing.request(token))?.name == "unavailable")
    }

    @Test(arguments: [1, 2, 3])
    func `without randomness nothing is joined`(failingCall: Int) async throws {
        let bench = try ExchangeBench()
        let token = try bench.token()
        _ = try await bench.exchange.exchange(bench.request(token))
        // A new session and its token, then the token of the session that is there.
        let random = ScriptedRandom(failingFromCall: failingCall)
        let broken = try ExchangeBench(random: random, after: bench)
        #expect(await broken.refusal(try broken.request(token))?.name == "unavailable")
        #expect(random.calls == failingCall)
        #expect(bench.store.events.count == 1)
    }
}

extension Sequence {
    fileprivate func asyncMap<Value>(_ transform: (Element) async throws -> Value) async rethrows -> [Value] {
        var values: [Value] = []
        for element in self { values.append(try await transform(element)) }
        return values
    }
}
