import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite struct `Actors` {
    private static let agent: JSONObject = ["sub": "agents:agent"]

    @Test func `who acts stands in the token, the session and the record`() async throws {
        let bench = try ExchangeBench()
        let response = try await bench.opened(actor: bench.actorToken())
        let claims = try bench.claims(response)
        #expect(claims["sub"] == "corp:alice")
        #expect(claims["act"] == .object(Self.agent))
        #expect(bench.store.sessions.first?.actor == Self.agent)
        #expect(bench.store.events.first?.details["act"] == .object(Self.agent))
        #expect(bench.store.events.first?.subject == "corp:alice")
    }

    @Test func `without an actor there is no act`() async throws {
        let bench = try ExchangeBench()
        let response = try await bench.opened(["act": ["sub": "somebody"]])
        #expect(try bench.claims(response)["act"] == nil, "what an issuer says of actors is not what we verified")
        #expect(bench.store.sessions.first?.actor == nil)
        #expect(bench.store.events.first?.details["act"] == nil)
    }

    @Test func `an actor for a gateway token opens a session below, around whoever acted before`() async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened(actor: bench.actorToken())
        let second = try await bench.renewed(first, actor: bench.actorToken("sub-agent"))
        let nested: JSONObject = ["sub": "agents:sub-agent", "act": .object(Self.agent)]
        #expect(try bench.claims(second)["act"] == .object(nested))
        #expect(second.sessionID != first.sessionID)
        #expect(try bench.claims(second)["lin"] == [.string(first.sessionID), .string(second.sessionID)])
        #expect(second.scope == first.scope)
        #expect(try bench.claims(second)["exp"] == bench.claims(first)["exp"])
        #expect(bench.store.sessions.last?.actor == nested)
        #expect(bench.store.events.last?.kind == .sessionNarrowed)
        #expect(bench.store.events.last?.details["act"] == .object(nested))
        // Renewed and narrowed, it stays.
        #expect(try await bench.claims(bench.renewed(second))["act"] == .object(nested))
        #expect(try await bench.claims(bench.renewed(second, scope: ["a:read"]))["act"] == .object(nested))
        #expect(try await bench.claims(bench.renewed(first))["act"] == .object(Self.agent))
    }

    @Test func `nobody gets rid of those who acted before`() async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened(actor: bench.actorToken())
        let again = try await bench.renewed(first, actor: bench.actorToken())
        let act = try bench.claims(again)["act"]
        #expect(act == ["sub": "agents:agent", "act": .object(Self.agent)], "also by acting for itself")
        // The subject acts for itself, through its actor.
        let cycle = try await bench.renewed(first, actor: bench.token(["jti": "t2"]))
        #expect(try bench.claims(cycle)["act"] == ["sub": "corp:alice", "act": .object(Self.agent)])
    }

    @Test func `eight may act one through the other, and no ninth`() async throws {
        let bench = try ExchangeBench()
        var token = try await bench.opened(actor: bench.actorToken("a1"))
        for number in 2...8 { token = try await bench.renewed(token, actor: bench.actorToken("a\(number)")) }
        var act = try bench.claims(token)["act"]?.object
        for number in stride(from: 8, through: 1, by: -1) {
            #expect(act?["sub"]?.string?.string == "agents:a\(number)")
            act = act?["act"]?.object
        }
        #expect(act == nil)
        #expect(try await bench.refusal(renewing: token, actor: bench.actorToken("a9")) == "subjectToken: actor")
        #expect(bench.store.events.last?.details["actor"] == ["reason": "depth", "sub": "agents:a9"])
        // The deepest token is good, for gateways too, and may be renewed.
        let requirement = Requirement(scopes: try Fixture.scopes(["a:read"]))
        let renewed = try await bench.renewed(token)
        let verdict = bench.verifier.verdict(
            for: renewed.accessToken, requiring: requirement, presentedBy: nil, at: bench.clock.now)
        guard case .allow = verdict else {
            Issue.record("\(verdict)")
            return
        }
    }

    @Test func `a chain that makes the token too long is refused, and nothing is recorded but that`() async throws {
        let bench = try ExchangeBench()
        // Each of these takes two bytes as JSON.
        let name = String(repeating: "\"", count: 1000)
        var token = try await bench.opened(actor: bench.actorToken(name))
        var refusal: String?
        for _ in 2...8 where refusal == nil {
            refusal = try await bench.refusal(renewing: token, actor: bench.actorToken(name))
            if refusal == nil { token = try await bench.renewed(token, actor: bench.actorToken(name)) }
        }
        #expect(refusal == "subjectToken: token_too_long")
        #expect(bench.store.events.last?.sessionID == token.sessionID, "that of the token that was presented")
        let recorded = Set(bench.store.sessions.map(\.id))
        #expect(bench.store.events.compactMap(\.sessionID).allSatisfy(recorded.contains))
        #expect(try await bench.refusal(renewing: token) == nil)
    }

    // MARK: may_act

    @Test(
        arguments: [
            (["sub": "agent", "iss": "https://agents.example.com"], true),
            (["iss": "https://agents.example.com"], true),
            (["iss": "https://agents.example.com", "team": "ml", "level": 3], true),
            (["iss": "https://agents.example.com", "team": ["ml"]], false),
            (["iss": "https://agents.example.com", "level": "3"], false),
            (["iss": "https://agents.example.com", "missing": .null], false),
            (["sub": "other", "iss": "https://agents.example.com"], false),
            (["sub": "agent", "iss": "https://issuer.example.com"], false),
            // Somebody of that name at the subject's own issuer.
            (["sub": "agent"], false),
            (["sub": "agents:agent"], false), ([:], false), ([], false), ("agent", false), (.null, false),
            (true, false),
            (["agent"], false), ([["sub": "agent", "iss": "https://agents.example.com"]], false),
        ] as [(JSONValue, Bool)])
    func `may_act is kept to, at the exchange and afterwards`(mayAct: JSONValue, isGranted: Bool) async throws {
        let bench = try ExchangeBench()
        let actor = try bench.actorToken("agent", ["team": "ml", "level": 3])
        let request = try bench.request(bench.token(["may_act": mayAct]), actor: actor)
        #expect(await bench.refusal(request)?.name == (isGranted ? nil : "subjectToken"))
        if !isGranted {
            let event = try #require(bench.store.events.first)
            #expect(event.reason == "actor" && event.subject == "corp:alice")
            #expect(event.details["actor"] == ["reason": "may_act", "sub": "agents:agent"])
            #expect(event.details["claims"]?.object?["may_act"] == mayAct)
        }
        // A token without an actor is none of its business, until there is one.
        let first = try await bench.opened(["may_act": mayAct, "jti": "t2"])
        #expect(
            try await bench.refusal(renewing: first, actor: actor) == (isGranted ? nil : "subjectToken: actor"))
    }

    @Test func `an actor of the subject's own issuer need not be named with it`() async throws {
        let bench = try ExchangeBench()
        let bob = try bench.token(["sub": "bob"])
        let first = try await bench.opened(["may_act": ["sub": "bob"]], actor: bob)
        #expect(try bench.claims(first)["act"] == ["sub": "corp:bob"])
        // The same name elsewhere is somebody else.
        let request = try bench.request(
            bench.token(["may_act": ["sub": "bob"], "jti": "t2"]), actor: bench.actorToken("bob"))
        #expect(await bench.refusal(request)?.name == "subjectToken")
        #expect(try await bench.refusal(renewing: first, actor: bench.actorToken("bob")) == "subjectToken: actor")
        #expect(try await bench.refusal(renewing: first, actor: bob) == nil)
    }

    /// Two clusters may have one `iss`, and are two issuers all the same.
    @Test func `an actor of another issuer that has the same URL is none of the subject's own`() async throws {
        let (issuer, other) = (try Fixture.quick, try TestIssuer(Fixture.quick.issuer, algorithm: .ES256))
        let issuers = [
            try Fixture.trusted(issuer),
            try Fixture.trusted(other, Fixture.configuration(other, name: "other", audience: "b")),
        ]
        let bench = try ExchangeBench()
        let exchange = TokenExchange(
            authenticator: JWTAuthenticator(issuers),
            rules: try RuleSet([ExchangeBench.main()], issuers: issuers.map(\.configuration), broker: Fixture.broker),
            mint: TokenMint(
                issuer: Fixture.broker, state: { BrokerState(keyRing: bench.ring) }, random: SystemRandom()),
            verifier: bench.verifier, store: bench.store, keptClaims: .matched, clock: bench.clock,
            logger: bench.log.logger)
        let mayAct: JSONValue = ["iss": .string(ExactString(issuer.issuer)), "sub": "bob"]
        let impostor = try other.token(other.claims(subject: "bob", at: bench.clock.now).replacing("aud", with: "b"))
        let token = try bench.token(["may_act": mayAct])
        await #expect(throws: ExchangeRefusal.self) {
            try await exchange.exchange(bench.request(token, actor: impostor))
        }
        #expect(bench.store.events.last?.details["actor"] == ["reason": "may_act", "sub": "other:bob"])
        let first = try await exchange.exchange(bench.request(token, actor: bench.token(["sub": "bob"])))
        await #expect(throws: ExchangeRefusal.self) {
            try await exchange.exchange(bench.renewal(of: first.accessToken, actor: impostor))
        }
        #expect(bench.store.events.last?.details["actor"] == ["reason": "may_act", "sub": "other:bob"])
    }

    @Test func `long values of may_act are still compared when only their digests are left`() async throws {
        let bench = try ExchangeBench()
        let long = String(repeating: "n", count: 300)
        let mayAct: JSONValue = [
            "iss": "https://agents.example.com", "sub": .string(ExactString(long)),
            "roles": [.string(ExactString(long))],
        ]
        let roles: JSONObject = ["roles": [.string(ExactString(long))]]
        let first = try await bench.opened(["may_act": mayAct], actor: bench.actorToken(long, roles))
        #expect(bench.store.sessions[0].claims["may_act"]?.object?["sub"]?.object?["bytes"] == 300)
        #expect(try await bench.refusal(renewing: first, actor: bench.actorToken(long, roles)) == nil)
        #expect(try await bench.refusal(renewing: first, actor: bench.actorToken(long)) == "subjectToken: actor")
        #expect(
            try await bench.refusal(renewing: first, actor: bench.actorToken(long + "n", roles))
                == "subjectToken: actor")
    }

    // MARK: Proofs that are none

    @Test func `an actor whose token is no good gets nothing, and that is on the subject's record`() async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        var forged = TokenSegments(try bench.actorToken())
        forged.signatureBytes[0] ^= 1
        let stranger = try Fixture.otherIssuer
        let cases: [(String, JSONObject)] = [
            (forged.token, ["reason": "signature"]),
            (try stranger.token(stranger.claims(at: bench.clock.now)), ["reason": "issuer"]),
            ("garbage", ["reason": "malformed"]), ("", ["reason": "malformed"]),
            (first.accessToken.reveal(), ["reason": "issuer"]),
            (
                try bench.actorToken("agent", ["exp": 1_799_999_900, "iat": 1_799_999_000]),
                ["reason": "expired", "sub": "agents:agent"]
            ),
            (try bench.actorToken("agent", ["aud": "x"]), ["reason": "audience", "sub": "agents:agent"]),
            (try bench.actorToken("a\nb"), ["reason": "claim"]),
            (try bench.actorToken("agent", ["events": [:]]), ["reason": "logout_token", "sub": "agents:agent"]),
        ]
        for (actor, details) in cases {
            let request = try bench.request(bench.token(["jti": "t2"]), actor: actor)
            #expect(await bench.refusal(request)?.name == "subjectToken")
            let event = try #require(bench.store.events.last)
            #expect(event.trace == request.trace && event.kind == .exchangeRefused)
            #expect(event.subject == "corp:alice" && event.reason == "actor")
            #expect(event.details["actor"]?.object == details)

            #expect(try await bench.refusal(renewing: first, actor: actor) == "subjectToken: actor")
            #expect(bench.store.events.last?.sessionID == first.sessionID)
            #expect(bench.store.events.last?.details["actor"]?.object == details)
        }
        #expect(bench.store.sessions.count == 1)
        #expect(bench.store.events.count == 1 + 2 * cases.count)
    }

    @Test func `a good actor is of no use to a subject without a proof`() async throws {
        let bench = try ExchangeBench()
        var forged = TokenSegments(try bench.token())
        forged.signatureBytes[0] ^= 1
        let request = try bench.request(forged.token, actor: bench.actorToken())
        #expect(await bench.refusal(request)?.name == "subjectToken")
        #expect(bench.store.events.isEmpty)
    }

    @Test func `a refused actor uses up no presentation of the subject's token`() async throws {
        let bench = try ExchangeBench(replay: .once)
        let token = try bench.token()
        #expect(await bench.refusal(try bench.request(token, actor: "garbage"))?.name == "subjectToken")
        #expect(await bench.refusal(try bench.request(token)) == nil)
    }

    @Test func `while nothing can be recorded the refusal of an actor is unavailable`() async throws {
        let bench = try ExchangeBench()
        bench.store.fail(with: StoreFailure(.unavailable, "record", cause: "disk full"))
        let request = try bench.request(bench.token(), actor: "garbage")
        #expect(await bench.refusal(request)?.name == "unavailable")
    }

    @Test func `while the keys of the actor's issuer are unknown nothing is wrong with its token`() async throws {
        // The subjects' issuer vouches for the actor here, and is asked for its keys only once.
        let fetcher = StubKeySetFetcher(.failure(KeySetFetchFailure("no route to issuer.example.com")))
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        let unknown = try ExchangeBench(fetcher: fetcher, after: bench)
        let request = try unknown.renewal(of: first.accessToken, actor: bench.token(["sub": "bob"]))
        guard case .unavailable(let outage) = await unknown.refusal(request) else {
            Issue.record("granted, or refused for another reason")
            return
        }
        #expect(outage.cause == "no route to issuer.example.com")
        #expect(bench.store.events.count == 1)
    }
}
