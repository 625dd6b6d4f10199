import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite struct `Renewal` {
    @Test func `keeps session, lineage, subject, rule, audience, models, scope and actor, and makes another token`()
        async throws
    {
        let rule = try ExchangeBench.main(ExchangeBench.terms(models: ["claude-*", "gpt-5"]))
        let bench = try ExchangeBench(rules: [rule])
        let first = try await bench.opened(
            actor: bench.actorToken(), scope: ["a:write"], targets: ["https://second.example.com"])
        bench.clock.advance(by: .seconds(60))
        let second = try await bench.renewed(first)
        let (before, after) = (
            try bench.claims(first), try bench.claims(second)
        )
        for name: ExactString in [
            "iss", "sub", "aud", "sid", "lin", "rev", "client_id", "scope", "rule", "act", "authorization_details",
        ] {
            #expect(before[name] != nil, "\(name)")
            #expect(after[name] == before[name], "\(name)")
        }
        #expect(after.members.map(\.name) == before.members.map(\.name), "nothing else was added")
        #expect(after["act"] == ["sub": "agents:agent"])
        #expect(after["jti"] != before["jti"])
        #expect(after["iat"] == 1_800_000_060)
        #expect(after["exp"] == 1_800_000_960)
        #expect(second.sessionID == first.sessionID)
        #expect(second.lifetime == 900)
        #expect(second.scope == first.scope)
    }

    @Test func `opens no session and is recorded with the token, its scope, audience, end and actor`() async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened(actor: bench.actorToken())
        let request = try bench.renewal(of: first.accessToken)
        let second = try await bench.exchange.exchange(request)
        #expect(bench.store.sessions.count == 1)
        let event = try #require(bench.store.events.last)
        #expect(bench.store.events.count == 2)
        #expect(event.kind == .sessionRenewed)
        #expect(event.trace == request.trace)
        #expect(event.subject == "corp:alice" && event.issuer?.description == "corp")
        #expect(event.rule == "main" && event.sessionID == first.sessionID && event.reason == nil)
        #expect(event.tokenID == (try bench.claims(second)["jti"]?.string))
        #expect(event.details["scope"] == ["a:read", "a:write"])
        #expect(event.details["audience"] == "https://gateway.example.com")
        #expect(event.details["expires"] == 1_800_000_900)
        #expect(event.details["act"] == ["sub": "agents:agent"])
    }

    @Test func `asking for all of the scope, in any order, is a renewal`() async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        let second = try await bench.renewed(first, scope: ["a:write", "a:read"])
        #expect(second.sessionID == first.sessionID)
        #expect(second.scope.map(\.text) == ["a:read", "a:write"])
        #expect(bench.store.sessions.count == 1)
    }

    @Test func `may be repeated with one token, and of renewed tokens`() async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        var ids: Set<ExactString> = []
        for _ in 0..<3 {
            let second = try await bench.renewed(first)
            let third = try await bench.renewed(second)
            for response in [second, third] {
                #expect(response.sessionID == first.sessionID)
                ids.insert(try #require(bench.claims(response)["jti"]?.string))
            }
        }
        #expect(ids.count == 6)
    }

    @Test func `no rule may be named, not even its own`() async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        for rule: ExactString in ["main", "tags", ""] {
            let request = ExchangeRequest(
                trace: TraceID(), subject: .gatewayToken(first.accessToken), rule: rule)
            #expect(await bench.refusal(request)?.name == "subjectToken")
        }
        #expect(bench.store.events.count == 1)
    }

    // MARK: The session's end

    @Test func `a token never outlives its session, however often it is renewed`() async throws {
        let bench = try ExchangeBench()
        let start = bench.clock.now
        var token = try await bench.opened()
        var lifetimes: [Int] = []
        for _ in 0..<8 {
            bench.clock.advance(by: .seconds(450))
            guard let next = try? await bench.renewed(token) else { break }
            #expect(try bench.claims(next)["exp"]?.number ?? .infinity <= start.timeIntervalSince1970 + 3600)
            lifetimes.append(next.lifetime)
            token = next
        }
        #expect(lifetimes == [900, 900, 900, 900, 900, 900, 450])
    }

    @Test(
        arguments: [
            (-1, 1, nil), (-0.001, 1, nil), (0, nil, "subjectToken: expired"), (0.001, nil, "subjectToken: expired"),
            (1, nil, "subjectToken: expired"), (-900, 900, nil), (-899, 899, nil),
        ] as [(Double, Int?, String?)])
    func `the session's end is an end to the second`(offset: Double, lifetime: Int?, refusal: String?) async throws {
        let bench = try ExchangeBench()
        let end = bench.clock.now.addingTimeInterval(3600)
        var token = try await bench.opened()
        for minutes in [14, 28, 42] {
            bench.clock.now = end.addingTimeInterval(Double(minutes) * 60 - 3600)
            token = try await bench.renewed(token)
        }
        bench.clock.now = end.addingTimeInterval(-900)
        token = try await bench.renewed(token)
        #expect(try bench.claims(token)["exp"]?.number == end.timeIntervalSince1970)
        bench.clock.now = end.addingTimeInterval(offset)
        guard let lifetime else {
            #expect(try await bench.refusal(renewing: token) == refusal)
            return
        }
        #expect(try await bench.renewed(token).lifetime == lifetime)
    }

    @Test func `many renewals at the last second end together with the session`() async throws {
        let bench = try ExchangeBench(rules: [
            ExchangeBench.main(ExchangeBench.terms(timeToLive: .seconds(900), maximumSession: .seconds(900)))
        ])
        let first = try await bench.opened()
        bench.clock.advance(by: .milliseconds(899_500))
        let ends = try await withThrowingTaskGroup(of: Double?.self) { group in
            for number in 0..<50 {
                group.addTask {
                    if number == 25 { bench.clock.advance(by: .milliseconds(500)) }
                    return try? await bench.claims(bench.renewed(first))["exp"]?.number
                }
            }
            return try await group.reduce(into: [Double?]()) { $0.append($1) }
        }
        #expect(ends.contains(nil), "the session has ended meanwhile")
        #expect(ends.compactMap(\.self).allSatisfy { $0 == 1_800_000_900 })
    }

    @Test func `a clock that went back makes no session longer`() async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        bench.clock.advance(by: .seconds(-3600))
        #expect(try await bench.refusal(renewing: first) == "subjectToken: not_yet_valid")
        bench.clock.advance(by: .seconds(86_400))
        #expect(try await bench.refusal(renewing: first) == "subjectToken: expired")
        #expect(bench.store.events.count == 3)
    }

    // MARK: Audience

    @Test func `the audience is inherited and may be named, and no other may`() async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened(targets: ["https://second.example.com"])
        let named = try await bench.renewed(first, targets: ["https://second.example.com"])
        #expect(try bench.claims(named)["aud"] == "https://second.example.com")
        for targets: [ExactString] in [
            ["https://gateway.example.com"], ["https://second.example.com", "https://gateway.example.com"], [""],
        ] {
            #expect(try await bench.refusal(renewing: first, targets: targets) == "target: target")
        }
        #expect(bench.store.events.last?.sessionID == first.sessionID)
    }

    // MARK: What is no gateway token of ours

    @Test func `a tampered or foreign token is refused, logged and not recorded`() async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        let good = TokenSegments(first.accessToken.reveal())
        var flipped = good
        flipped.signatureBytes[7] ^= 1
        var widened = good
        widened.payload = try edited(good.payload) { $0.replacing("scope", with: "a:read a:write a:admin") }
        var later = good
        later.payload = try edited(good.payload) { $0.replacing("exp", with: 1_800_009_999) }
        var cut = good
        cut.signatureBytes.removeLast()
        let stranger = try await ExchangeBench().opened().accessToken.reveal()
        let broker = try TestIssuer("https://daypass.example.com", algorithm: .ES256)
        let forged = try broker.token(bench.claims(first), header: ["typ": "at+jwt"])
        let sameKeyID = try broker.presenting(keyID: bench.ring.active.jwk.keyID)
            .token(bench.claims(first), header: ["typ": "at+jwt"])
        let tokens = [
            flipped.token, widened.token, later.token, cut.token, stranger, forged, sameKeyID,
            try bench.token(), "garbage", "", "..", good.token + "A", good.token + ".x",
        ]
        for token in tokens {
            let request = try bench.renewal(of: SecretText(token))
            #expect(await bench.refusal(request)?.name == "subjectToken", "\(token)")
            bench.clock.advance(by: .milliseconds(100))
        }
        #expect(bench.store.events.count == 1 && bench.store.sessions.count == 1)
        #expect(bench.log.lines.count == tokens.count)
        #expect(bench.log.lines.allSatisfy { $0.contains("gateway token refused") })
    }

    @Test(arguments: [(900.0, "expired"), (-1, "not_yet_valid")])
    func `a token whose signature is good and whose time is not is refused on the record, with its subject`(
        step: Double, reason: String
    ) async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        bench.clock.now.addTimeInterval(step)
        let request = ExchangeRequest(
            trace: TraceID(), client: "192.0.2.7", subject: .gatewayToken(first.accessToken))
        #expect(await bench.refusal(request)?.name == "subjectToken")
        let event = try #require(bench.store.events.last)
        #expect(event.kind == .exchangeRefused && event.reason == reason && event.trace == request.trace)
        #expect(event.subject == "corp:alice" && event.rule == "main" && event.sessionID == first.sessionID)
        #expect(event.issuer?.text == "corp" && event.details == ["client": "192.0.2.7"])
        // Where that cannot be recorded, nothing is said about the token.
        bench.store.fail(with: StoreFailure(.unavailable, "record", cause: "disk full"))
        #expect(await bench.refusal(request)?.name == "unavailable")
    }

    @Test func `a token of ours that is no access token, or lacks what the mint writes, is refused`() async throws {
        let bench = try ExchangeBench()
        let claims = try await bench.claims(bench.opened())
        let signer = bench.ring.active.signer
        #expect(try await bench.refusal(bench.renewal(of: SecretText(signer.sign(claims.encoded())))) == nil)
        let changes: [(ExactString, JSONValue?)] = [
            ("lin", nil), ("lin", []), ("lin", ["x"]), ("lin", [1]), ("lin", "x"), ("sid", nil), ("sid", "x"),
            ("aud", "https://elsewhere.example.com"), ("aud", ["https://gateway.example.com"]), ("aud", nil),
            ("iss", "https://daypass.example.com/"), ("rule", nil), ("scope", nil), ("jti", nil), ("exp", nil),
            ("exp", "9999999999"), ("nbf", 1_800_000_001), ("authorization_details", [["type": "other"]]),
        ]
        for (name, value) in changes {
            let token = SecretText(try signer.sign(claims.replacing(name, with: value).encoded()))
            let refusal = await bench.refusal(try bench.renewal(of: token))
            #expect(refusal?.name == "subjectToken", "\(name): \(String(describing: value))")
        }
    }

    // MARK: What the store says

    @Test func `a session that the store does not know is refused on the record`() async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        let emptied = try ExchangeBench(after: bench, store: MemoryStore())
        #expect(try await emptied.refusal(renewing: first) == "subjectToken: session_unknown")
        let event = try #require(emptied.store.events.first)
        #expect(event.kind == .exchangeRefused)
        #expect(event.issuer?.description == "corp" && event.subject == "corp:alice" && event.rule == "main")
        #expect(event.sessionID == first.sessionID)
        #expect(emptied.store.sessions.isEmpty)
    }

    @Test func `a session of that id that is another one is not taken for it`() async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        let session = try #require(bench.store.sessions.first)
        func other(
            ancestors: [ExactString] = [], subject: ExactString = "corp:alice", rule: ExactString = "main"
        ) -> SessionRecord {
            SessionRecord(
                id: session.id, ancestors: ancestors, issuer: session.issuer, subject: subject, rule: rule,
                start: session.start, end: session.end, claims: session.claims)
        }
        for other in [other(ancestors: ["s0"]), other(subject: "corp:bob"), other(rule: "tags")] {
            let store = MemoryStore()
            try await store.record(other, Sample.refusal())
            let bench = try ExchangeBench(after: bench, store: store)
            #expect(try await bench.refusal(renewing: first) == "subjectToken: session_unknown")
        }
    }

    @Test func `while the store fails there is no token, and afterwards there is`() async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        bench.store.fail(with: StoreFailure(.unavailable, "record", cause: "disk full"))
        let request = try bench.renewal(of: first.accessToken)
        guard case .unavailable(let outage) = await bench.refusal(request) else {
            Issue.record("granted, or refused for another reason")
            return
        }
        #expect(outage.cause.contains("disk full"))
        bench.store.fail(with: nil)
        #expect(try await bench.refusal(renewing: first) == nil)
    }

    @Test(arguments: [nil, ["a:read"], ["a:admin"]] as [[String]?])
    func `a store that reads and cannot record gives no token and no other reason`(scope: [String]?) async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        let readable = try ExchangeBench(after: bench, wrap: { FailingStore($0, afterRecords: 0) })
        let request = try readable.renewal(of: first.accessToken, scope: scope)
        #expect(await readable.refusal(request)?.name == "unavailable")
        #expect(bench.store.sessions.count == 1 && bench.store.events.count == 1)
    }

    @Test func `without randomness there is no token and no record`() async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        let broken = try ExchangeBench(random: FailingRandom(), after: bench)
        for scope in [nil, ["a:read"]] as [[String]?] {
            let request = try broken.renewal(of: first.accessToken, scope: scope)
            #expect(await broken.refusal(request)?.name == "unavailable")
        }
        #expect(bench.store.events.count == 1)
    }

    private func edited(_ payload: String, _ edit: (JSONObject) -> JSONObject) throws -> String {
        Base64URL.encode(edit(try JSONReader.readObject(Base64URL.decode(ExactString(payload)))).encoded())
    }
}
