import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// What `explain` answers, over whole exchanges.
@Suite struct DecisionTests {
    private func decisions(_ bench: ExchangeBench, retention: Duration = .seconds(400 * 86_400)) throws
        -> StoredDecisions
    {
        let issuer = try Fixture.configuration(bench.issuer, maximumLifetime: .seconds(900))
        return StoredDecisions(
            bench.store, recent: bench.recent, limits: { [ProofLimits(issuer)] }, retention: retention,
            clock: bench.clock)
    }

    /// The only decision on a request that was refused.
    private func refused(_ request: ExchangeRequest, _ bench: ExchangeBench) async throws -> JSONObject {
        try #require(await bench.refusal(request) != nil)
        return try await only(request.trace, bench)
    }

    private func only(_ trace: TraceID, _ bench: ExchangeBench) async throws -> JSONObject {
        let json = try await decisions(bench).decision(trace).json
        #expect(json["trace"]?.string?.string == trace.description)
        let all = try #require(json["decisions"]?.array)
        #expect(all.count == 1)
        return try #require(all.first?.object)
    }

    private func fact(_ decision: JSONObject, _ name: ExactString) -> JSONObject? {
        decision["facts"]?.array?.compactMap(\.object).first { $0["name"]?.string == name }
    }

    @Test func `a refusal by the rules shows each rule, each claim, what was wanted and what was there, nearest first`()
        async throws
    {
        let bench = try ExchangeBench()
        let decision = try await refused(try bench.request(bench.token(["ref": "refs/heads/dev"])), bench)
        #expect(decision["source"] == "audit" && decision["outcome"] == "refused" && decision["sequence"] == 1)
        #expect(decision["summary"] == "it was refused: no rule of corp matches; the nearest is main")
        #expect(decision["subject"] == "corp:alice" && decision["client"] == "192.0.2.7")
        let tests: (String) -> JSONValue = { wanted in
            [
                ["claim": "ref", "wanted": [.string(ExactString(wanted))], "held": false, "got": "refs/heads/dev"],
                ["claim": "sub", "wanted": ["alice"], "held": true, "got": "alice"],
            ]
        }
        #expect(
            decision["rules"] == [
                ["rule": "main", "nearest": true, "tests": tests("refs/heads/main")],
                ["rule": "tags", "nearest": false, "tests": tests("refs/tags/*")],
            ])
        #expect(
            decision["changes"] == [
                [
                    "claim": "ref", "to": ["refs/heads/main"],
                    "or_rule": #""ref": ["refs/heads/main","refs/heads/dev"]"#,
                ]
            ])
        #expect(decision["claims"]?.object?["ref"] == "refs/heads/dev")
    }

    @Test func `a rule that was named and is not there, or does not match, is told apart`() async throws {
        let bench = try ExchangeBench()
        let none = try await refused(try bench.request(bench.token(), rule: "nope"), bench)
        #expect(none["summary"] == "it was refused: the caller named the rule nope, and corp has none of that name")
        let other = try await refused(try bench.request(bench.token(), rule: "tags"), bench)
        #expect(other["summary"] == "it was refused: the rule tags, which the caller named, does not match")
        let broker = try await refused(try bench.request(bench.token(), scope: ["daypass:keys"]), bench)
        #expect(
            broker["summary"]
                == "it was refused: no rule of corp grants one of the broker's own scopes that were asked for")
    }

    @Test func `a grant, a renewal and a narrowing show what was granted`() async throws {
        let bench = try ExchangeBench()
        let request = try bench.request(bench.token())
        let response = try await bench.exchange.exchange(request)
        let granted = try await only(request.trace, bench)
        #expect(granted["outcome"] == "granted" && granted["summary"] == "a gateway token was granted by rule main")
        #expect(
            granted["granted"] == [
                "scope": ["a:read", "a:write"], "audience": "https://gateway.example.com",
                "expires": "2027-01-15T08:15:00.000Z",
            ])
        #expect(granted["session"]?.string == response.sessionID && granted["rules"] == nil)
        let renewal = try bench.renewal(of: response.accessToken)
        _ = try await bench.exchange.exchange(renewal)
        #expect(try await only(renewal.trace, bench)["outcome"] == "renewed")
        let narrowing = try bench.renewal(of: response.accessToken, scope: ["a:read"])
        _ = try await bench.exchange.exchange(narrowing)
        let narrowed = try await only(narrowing.trace, bench)
        #expect(narrowed["outcome"] == "narrowed" && narrowed["granted"]?.object?["scope"] == ["a:read"])
    }

    @Test func `a further token shows the claims of its session, and says that they are not in its record`()
        async throws
    {
        let bench = try ExchangeBench()
        let request = try bench.request(bench.token())
        let response = try await bench.exchange.exchange(request)
        let opened = try await only(request.trace, bench)
        #expect(opened["claims"]?.object?["ref"] == "refs/heads/main" && opened["claims_from"] == nil)
        let renewal = try bench.renewal(of: response.accessToken)
        let narrowing = try bench.renewal(of: response.accessToken, scope: ["a:read"])
        for request in [renewal, narrowing] {
            _ = try await bench.exchange.exchange(request)
            #expect(bench.store.events.last?.details["claims"] == nil)
            let decision = try await only(request.trace, bench)
            #expect(decision["claims"] == opened["claims"] && decision["claims_from"] == "session")
            #expect(decision["first_session"]?.string == response.sessionID)
        }
        // A session is deleted before the records of its tokens are.
        let trace = TraceID()
        try await bench.store.record(
            AuditEvent(
                time: bench.clock.now, trace: trace, kind: .sessionRenewed, issuer: nil, subject: nil,
                sessionID: "gone", tokenID: "t", details: [:]))
        let gone = try await only(trace, bench)
        #expect(gone["claims"] == nil && gone["claims_from"] == "nowhere" && gone["first_session"] == nil)
        // What was refused says of no session what it has.
        let refused = try await refused(try bench.renewal(of: response.accessToken, scope: ["a:admin"]), bench)
        #expect(refused["claims"] == nil && refused["claims_from"] == nil)
    }

    @Test func `what was refused before the rules shows what was checked, and by whose words`() async throws {
        let bench = try ExchangeBench(replay: .once)
        let expired = try await refused(
            try bench.request(bench.token(["iat": 1_799_999_000, "exp": 1_799_999_900])), bench)
        #expect(expired["reason"] == "expired")
        #expect(
            fact(expired, "exp") == [
                "name": "exp",
                "wanted": "after 2027-01-15T08:00:00.000Z by this broker's clock, with 30 s of leeway",
                "got": "2027-01-15T07:58:20.000Z",
            ])
        let audience = try await refused(try bench.request(bench.token(["aud": "https://other.example.com"])), bench)
        #expect(
            fact(audience, "aud") == [
                "name": "aud", "wanted": "https://daypass.example.com, by the configuration of now",
                "got": "https://other.example.com",
            ])
        #expect(audience["summary"]?.string?.string.contains("for somebody else than this broker") == true)
        let early = try await refused(try bench.request(bench.token(["iat": 1_800_000_100])), bench)
        #expect(early["reason"] == "not_yet_valid" && fact(early, "iat") != nil)
        let long = try await refused(try bench.request(bench.token(["exp": 1_800_009_000])), bench)
        #expect(fact(long, "iat")?["wanted"] == "at most 900 s apart, by the configuration of now")
        _ = try await bench.opened()
        let replayed = try await refused(try bench.request(bench.token()), bench)
        #expect(replayed["reason"] == "replayed" && replayed["rule"] == "main" && fact(replayed, "presented") != nil)
    }

    @Test func `more scope or another audience than is granted is shown beside what is granted`() async throws {
        let bench = try ExchangeBench()
        let scope = try await refused(try bench.request(bench.token(), scope: ["a:read", "a:admin"]), bench)
        #expect(
            fact(scope, "scope") == [
                "name": "scope", "wanted": "at most a:read a:write", "got": ["a:read", "a:admin"],
            ])
        let target = try await refused(
            try bench.request(bench.token(), targets: ["https://third.example.com"]), bench)
        #expect(fact(target, "audiences")?["got"] == ["https://third.example.com"])
        let response = try await bench.opened()
        let narrowed = try await refused(try bench.renewal(of: response.accessToken, scope: ["a:admin"]), bench)
        #expect(fact(narrowed, "scope")?["wanted"] == "at most a:read a:write")
        // What a caller asks for does not fill the record.
        let many = (0..<64).map { "s\($0)" + String(repeating: "x", count: 120) }
        _ = await bench.refusal(try bench.request(bench.token(), scope: many))
        let asked = try #require(bench.store.events.last?.details["asked"]?.object)
        #expect(asked["scope"]?.array?.count == 16 && asked["omitted_scope"] == 48)
    }

    @Test func `a block and a revocation are shown as such`() async throws {
        let bench = try ExchangeBench()
        let block = try RevocationRequest(.subject("corp:alice"), block: Revocation.Block(until: nil))
        _ = try await bench.revocations.revoke(block, by: .daemon)
        let decision = try await refused(try bench.request(bench.token()), bench)
        #expect(decision["reason"] == "blocked" && decision["blocked"]?.object != nil)
    }

    @Test func `what proved nothing comes out of memory, and says so`() async throws {
        let bench = try ExchangeBench()
        let decision = try await refused(
            try bench.request(bench.token(["iss": "https://evil.example.com"])), bench)
        #expect(decision["source"] == "memory" && decision["reason"] == "issuer" && decision["at"] == "exchange")
        #expect(decision["subject"] == nil)
        #expect(decision["said_unproved"]?.object?["iss"] == "https://evil.example.com")
        #expect(decision["summary"]?.string?.string.contains("no issuer of that iss is configured") == true)
    }

    @Test func `an exchange that could not be recorded is explained out of memory`() async throws {
        let bench = try ExchangeBench()
        let request = try bench.request(bench.token())
        bench.store.fail(with: StoreFailure(.unavailable, "record", cause: "the disk is full"))
        #expect(await bench.refusal(request)?.name == "unavailable")
        bench.store.fail(with: nil)
        let decision = try await only(request.trace, bench)
        #expect(decision["source"] == "memory" && decision["reason"] == "store")
        #expect(decision["summary"]?.string?.string.contains("the disk is full") == true)
    }

    @Test func `where nothing is known it says why that can be`() async throws {
        let bench = try ExchangeBench()
        bench.clock.advance(by: .seconds(7 * 86_400))
        func words(_ trace: TraceID, retention: Duration = .seconds(400 * 86_400)) async throws -> String {
            do {
                _ = try await decisions(bench, retention: retention).decision(trace)
            } catch AdministrationFailure.notFound(let words) {
                return words
            }
            throw WasFound()
        }
        let now = bench.clock.now
        #expect(try await words(TraceID(at: now)).contains("It was let pass at /verify, or was no decision"))
        #expect(try await words(TraceID(at: now)).contains("2027-01-22T08:00:00.000Z"))
        #expect(
            try await words(TraceID(at: Fixture.now - 60)).contains(
                "this broker has run since 2027-01-15T08:00:00.000Z"))
        #expect(try await words(TraceID(at: now + 3600)).contains("none of this broker's"))
        #expect(
            try await words(TraceID(at: Fixture.now - 86_400), retention: .seconds(2 * 86_400))
                .contains("kept for 2 days (audit.retention)"))
    }

    @Test func `a store that cannot be read is no answer`() async throws {
        let bench = try ExchangeBench()
        bench.store.fail(with: StoreFailure(.unavailable, "read", cause: "gone"))
        await #expect(throws: AdministrationFailure.self) { try await decisions(bench).decision(TraceID()) }
    }

    /// Ten thousand claims, and text that means something to a terminal: what is answered stays small and is JSON.
    @Test func `hostile claims make no large answer`() async throws {
        let bench = try ExchangeBench()
        var claims = JSONObject()
        for number in 0..<400 { _ = claims.append(ExactString("c\(number)"), "\u{1B}[2J") }
        let hostile: ExactString = "\u{1B}]0;x\u{7}\u{202E}\n\u{0}*"
        let decision = try await refused(
            try bench.request(bench.token(claims.merging(["ref": .string(hostile)]))), bench)
        #expect(decision.encoded().count < 4096)
        #expect(!decision.encoded().contains { $0 < 0x20 })
        #expect(decision["rules"]?.array?.count == 2)
    }
}

private struct WasFound: Error {}
