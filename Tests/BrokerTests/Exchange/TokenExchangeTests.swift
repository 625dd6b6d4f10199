import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite struct TokenExchangeTests {
    @Test func `a good subject token becomes a gateway token that we verify, and one session and one record`()
        async throws
    {
        let bench = try ExchangeBench()
        let request = try bench.request(bench.token())
        let response = try await bench.exchange.exchange(request)
        #expect(response.scope.map(\.text) == ["a:read", "a:write"])
        #expect(response.lifetime == 900)

        let verifier = TokenVerifier(
            tokens: TokenConfiguration(issuer: "https://daypass.example.com", audiences: [Fixture.gateway]),
            policy: VerifyConfiguration(), state: StateHolder(BrokerState(keyRing: bench.ring)))
        let verdict = verifier.verdict(
            for: response.accessToken, requiring: Requirement(scopes: try Fixture.scopes(["a:read"])),
            presentedBy: nil, at: Fixture.now)
        guard case .allow(let claims) = verdict else {
            Issue.record("\(verdict)")
            return
        }
        #expect(claims.subject == "corp:alice")
        #expect(claims.sessionID == response.sessionID)

        let session = try #require(bench.store.sessions.first)
        let event = try #require(bench.store.events.first)
        #expect(bench.store.sessions.count == 1 && bench.store.events.count == 1)
        #expect(session.id == response.sessionID)
        #expect(session.end == Fixture.now.addingTimeInterval(3600))
        #expect(event.kind == .exchangeGranted)
        #expect(event.trace == request.trace)
        #expect(event.subject == "corp:alice")
        #expect(event.rule == "main")
        #expect(event.sessionID == session.id)
        #expect(event.tokenID == claims.tokenID)
        #expect(event.reason == nil)
        #expect(event.details["scope"] == ["a:read", "a:write"])
        #expect(event.details["audience"] == "https://gateway.example.com")
        #expect(event.details["expires"] == 1_800_000_900)
        let kept: JSONObject = [
            "iss": "https://issuer.example.com", "sub": "alice", "aud": "https://daypass.example.com",
            "iat": 1_800_000_000, "exp": 1_800_000_300, "ref": "refs/heads/main", "jti": "t1",
        ]
        #expect(event.details["claims"]?.object == kept)
        #expect(session.claims == kept)
    }

    @Test func `scope and audience are narrowed as asked, and recorded as granted`() async throws {
        let bench = try ExchangeBench()
        let response = try await bench.exchange.exchange(
            bench.request(bench.token(), scope: ["a:write"], targets: ["https://second.example.com"]))
        #expect(response.scope.map(\.text) == ["a:write"])
        #expect(bench.store.events[0].details["scope"] == ["a:write"])
        #expect(bench.store.events[0].details["audience"] == "https://second.example.com")
    }

    @Test func `a rule may be named, and only that one is used`() async throws {
        let bench = try ExchangeBench()
        _ = try await bench.exchange.exchange(bench.request(bench.token(["ref": "refs/tags/v1"]), rule: "tags"))
        #expect(bench.store.events[0].rule == "tags")
        #expect(await bench.refusal(try bench.request(bench.token(), rule: "tags"))?.name == "subjectToken")
    }

    @Test func `an unknown rule, one that does not match and no rule at all are refused alike`() async throws {
        let bench = try ExchangeBench()
        for rule: ExactString? in ["nowhere", "tags", "", nil] {
            let token = try bench.token(["ref": rule == nil ? "refs/heads/dev" : "refs/heads/main"])
            guard case .subjectToken = await bench.refusal(try bench.request(token, rule: rule)) else {
                Issue.record("told apart: \(rule?.string ?? "none")")
                return
            }
        }
        #expect(bench.store.events.map(\.reason) == ["no_rule", "no_rule", "no_rule", "no_rule"])
        #expect(bench.store.sessions.isEmpty)
    }

    @Test func `a subject that no rule matches is recorded with the explanation`() async throws {
        let bench = try ExchangeBench()
        let request = try bench.request(bench.token(["ref": "refs/heads/dev"]))
        #expect(await bench.refusal(request)?.name == "subjectToken")
        let event = try #require(bench.store.events.first)
        #expect(event.kind == .exchangeRefused)
        #expect(event.trace == request.trace)
        #expect(event.subject == "corp:alice")
        #expect(event.rule == nil && event.sessionID == nil && event.tokenID == nil)
        let wanted: (String) -> JSONValue = { rule in
            [
                "rule": .string(ExactString(rule)),
                "failed": [
                    [
                        "claim": "ref", "wanted": [rule == "main" ? "refs/heads/main" : "refs/tags/*"],
                        "got": "refs/heads/dev",
                    ]
                ],
                "held": [["claim": "sub", "wanted": ["alice"], "got": "alice"]],
            ]
        }
        #expect(event.details["explanation"] == ["rules": [wanted("main"), wanted("tags")]])
        #expect(event.details["claims"]?.object?["ref"] == "refs/heads/dev")
    }

    @Test(
        arguments: [
            (["a:read", "b"], [], "scope"), ([], [], "scope"), (nil, ["https://third.example.com"], "target"),
            (nil, ["https://gateway.example.com", "https://second.example.com"], "target"),
            (["b"], ["https://third.example.com"], "scope"),
        ] as [([String]?, [ExactString], String)])
    func `more than the grant has is refused with its own reason, and recorded`(
        scope: [String]?, targets: [ExactString], reason: String
    ) async throws {
        let bench = try ExchangeBench()
        let request = try bench.request(bench.token(), scope: scope, targets: targets)
        #expect(await bench.refusal(request)?.name == reason)
        #expect(bench.store.events.map(\.reason) == [reason])
        #expect(bench.store.events[0].rule == "main")
        #expect(bench.store.sessions.isEmpty)
    }

    @Test func `a good signature over unacceptable claims is recorded with what they were`() async throws {
        let bench = try ExchangeBench()
        let cases: [(JSONObject, String, ExactString?)] = [
            (["exp": 1_799_999_000, "iat": 1_799_998_900], "expired", "corp:alice"),
            (["aud": "https://other.example.com"], "audience", "corp:alice"),
            (["sub": "a\nb"], "claim", nil), (["events": [:]], "logout_token", "corp:alice"),
            (["exp": 1_800_090_000], "lifetime", "corp:alice"),
        ]
        for (changes, reason, subject) in cases {
            let request = try bench.request(bench.token(changes))
            #expect(await bench.refusal(request)?.name == "subjectToken")
            let event = try #require(bench.store.events.last)
            #expect(event.trace == request.trace)
            #expect(event.reason == reason)
            #expect(event.subject == subject)
            #expect(event.details["claims"]?.object?["ref"] == "refs/heads/main")
            #expect(event.details["claims"]?.object?["extra"] == nil)
            #expect(event.details["message"]?.string?.isEmpty == false)
        }
        #expect(bench.store.events.count == cases.count)
    }

    @Test func `what proves nothing is not recorded`() async throws {
        let bench = try ExchangeBench()
        var forged = TokenSegments(try bench.token())
        forged.signatureBytes[0] ^= 1
        let stranger = try Fixture.otherIssuer
        for token in [
            "", "garbage", forged.token, try stranger.token(stranger.claims(at: Fixture.now)),
            try bench.issuer.presenting(keyID: "other").token(bench.issuer.claims(at: Fixture.now)),
        ] {
            #expect(await bench.refusal(try bench.request(token))?.name == "subjectToken")
        }
        #expect(bench.store.events.isEmpty)
        #expect(bench.log.lines.count == 5)
    }

    @Test func `all claims are kept where that is configured, long texts by digest`() async throws {
        let bench = try ExchangeBench(keptClaims: .all)
        let long = String(repeating: "x", count: 300)
        _ = try await bench.exchange.exchange(bench.request(bench.token(["long": .string(ExactString(long))])))
        let claims = try #require(bench.store.sessions[0].claims as JSONObject?)
        #expect(claims["extra"] == "unread")
        #expect(claims["long"]?.object?["bytes"] == 300)
    }

    // MARK: Failures

    private static let outage = StoreFailure(.unavailable, "record", cause: "disk full")

    @Test func `while nothing can be recorded nothing is granted, and it recovers by itself`() async throws {
        let bench = try ExchangeBench()
        bench.store.fail(with: Self.outage)
        guard case .unavailable(let outage) = await bench.refusal(try bench.request(bench.token())) else {
            Issue.record("granted, or refused for another reason")
            return
        }
        #expect(outage.cause.contains("disk full"))
        bench.store.fail(with: nil)
        #expect(bench.store.sessions.isEmpty && bench.store.events.isEmpty)
        #expect(await bench.refusal(try bench.request(bench.token())) == nil)
    }

    @Test(
        arguments: [
            (["ref": "x"], nil, []), (["exp": 1_799_999_000, "iat": 1_799_998_900], nil, []), ([:], ["b"], []),
            ([:], nil, ["https://third.example.com"]),
        ] as [(JSONObject, [String]?, [ExactString])])
    func `a refusal that has to be on the record is unavailable while nothing can be recorded`(
        changes: JSONObject, scope: [String]?, targets: [ExactString]
    ) async throws {
        let bench = try ExchangeBench()
        bench.store.fail(with: Self.outage)
        let request = try bench.request(bench.token(changes), scope: scope, targets: targets)
        #expect(await bench.refusal(request)?.name == "unavailable")
        #expect(!bench.log.text.contains("exchange refused"), "it was not")
    }

    @Test(arguments: [1, 2])
    func `without randomness there is no token and no record`(failingCall: Int) async throws {
        let bench = try ExchangeBench(random: ScriptedRandom(failingFromCall: failingCall))
        #expect(await bench.refusal(try bench.request(bench.token()))?.name == "unavailable")
        #expect(bench.store.sessions.isEmpty && bench.store.events.isEmpty)
    }

    @Test func `a session id that is taken is no second session`() async throws {
        let bench = try ExchangeBench(random: ScriptedRandom([7]))
        #expect(await bench.refusal(try bench.request(bench.token())) == nil)
        #expect(await bench.refusal(try bench.request(bench.token(["jti": "t2"])))?.name == "unavailable")
        #expect(bench.store.sessions.count == 1 && bench.store.events.count == 1)
    }

    @Test func `while the issuer's keys are unknown nothing is wrong with the token`() async throws {
        let fetcher = StubKeySetFetcher(.failure(KeySetFetchFailure("no route to issuer.example.com")))
        let bench = try ExchangeBench(fetcher: fetcher)
        guard case .unavailable(let outage) = await bench.refusal(try bench.request(bench.token())) else {
            Issue.record("refused for another reason")
            return
        }
        #expect(outage.cause == "no route to issuer.example.com")
        #expect(bench.store.events.isEmpty)
        fetcher.answer(try bench.issuer.keySet)
        bench.clock.advance(by: .seconds(30))
        #expect(await bench.refusal(try bench.request(bench.token())) == nil)
    }

    @Test func `fifty exchanges at once of fifty tokens are fifty sessions`() async throws {
        let bench = try ExchangeBench()
        let sessions = try await withThrowingTaskGroup(of: ExactString.self) { group in
            for number in 0..<50 {
                group.addTask { try await bench.opened(["jti": .string(ExactString("\(number)"))]).sessionID }
            }
            return try await group.reduce(into: Set<ExactString>()) { $0.insert($1) }
        }
        #expect(sessions.count == 50)
        #expect(Set(bench.store.sessions.map(\.id)) == sessions)
    }
}
