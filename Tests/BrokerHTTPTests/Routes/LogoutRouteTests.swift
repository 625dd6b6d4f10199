import Broker
import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

/// `POST /oauth/backchannel-logout` (OpenID Connect Back-Channel Logout 1.0).
@Suite(.onOwnThreads) struct `Signing out at the identity provider` {
    private static let path = "/oauth/backchannel-logout"

    /// The tokens of a device that somebody approved.
    private struct SignedIn {
        let access: String
        let refresh: String
    }

    private func signIn(_ broker: LiveBroker, session: ExactString = "p1") async throws -> SignedIn {
        let begun = try await broker.posted("/oauth/device_authorization", [])
        try await broker.approve(try #require(begun.text("user_code")), providerSession: session)
        let answer = try await broker.token([
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", try #require(begun.text("device_code"))),
        ])
        return SignedIn(
            access: try #require(answer.text("access_token")), refresh: try #require(answer.text("refresh_token")))
    }

    private func isVerified(_ tokens: SignedIn, _ broker: LiveBroker) async throws -> Bool {
        let bearer = [("Authorization", "Bearer \(tokens.access)")]
        return try await broker.send(.GET, "/verify?scope=anthropic:messages", bearer).status == 200
    }

    private func claims(_ broker: LiveBroker) -> JSONObject {
        broker.issuer.claims(subject: "job", at: Date()).merging([
            "jti": "1", "events": ["http://schemas.openid.net/event/backchannel-logout": [:]],
        ])
    }

    private func logOut(_ broker: LiveBroker, _ claims: JSONObject) async throws -> LiveBroker.Answer {
        try await broker.posted(Self.path, [("logout_token", try broker.issuer.token(claims))])
    }

    @Test func `a good token answers 200 without a body, and refresh and verify refuse from then on`() async throws {
        try await LiveBroker.run(signsIn: true) { broker in
            let tokens = try await signIn(broker)
            #expect(try await isVerified(tokens, broker))
            let answer = try await logOut(broker, claims(broker))
            #expect(answer.status == 200 && answer.body.isEmpty, "\(answer.body)")
            #expect(answer.headers.first(name: "Cache-Control") == "no-store")
            #expect(answer.headers.first(name: "Daypass-Trace-Id") != nil)
            #expect(try await !isVerified(tokens, broker))
            let refused = try await broker.token([
                ("grant_type", "refresh_token"), ("refresh_token", tokens.refresh),
            ])
            #expect(refused.status == 401 && refused.text("error") == "invalid_grant")
            let again = try await logOut(broker, claims(broker))
            #expect(again.status == 400 && again.text("error") == "invalid_request", "\(again.body)")
        }
    }

    @Test func `a sid ends the sessions of that one, and a sub all of the person's`() async throws {
        try await LiveBroker.run(signsIn: true) { broker in
            let (first, second) = (try await signIn(broker, session: "p1"), try await signIn(broker, session: "p2"))
            #expect(try await logOut(broker, claims(broker).merging(["sid": "p2"])).status == 200)
            let states = (try await isVerified(first, broker), try await isVerified(second, broker))
            #expect(states == (true, false))
            #expect(try await logOut(broker, claims(broker).merging(["jti": "2"])).status == 200)
            #expect(try await !isVerified(first, broker))
            // There is nothing left to end, and nothing wrong with that.
            #expect(try await logOut(broker, claims(broker).merging(["jti": "3"])).status == 200)
        }
    }

    @Test(
        arguments: [
            ("an ID token", ["events": .null, "nonce": "n"]), ("another client's", ["aud": "https://other.example"]),
            ("of another issuer", ["iss": "https://other.example"]), ("with a nonce", ["nonce": "n"]),
            ("too old", ["iat": 1_000_000_000]), ("from the future", ["iat": 4_000_000_000]),
            ("without an id", ["jti": .null]), ("without anybody", ["sub": .null]),
            ("of another event", ["events": ["http://schemas.openid.net/event/other": [:]]]),
        ] as [(String, JSONObject)])
    func `a token that is not good answers 400 invalid_request, and ends nothing`(what: String, changes: JSONObject)
        async throws
    {
        try await LiveBroker.run(signsIn: true) { broker in
            let tokens = try await signIn(broker)
            var claims = claims(broker)
            for member in changes.members {
                claims = claims.replacing(member.name, with: member.value == .null ? nil : member.value)
            }
            let answer = try await logOut(broker, claims)
            #expect(answer.status == 400 && answer.text("error") == "invalid_request", "\(what): \(answer.body)")
            #expect(answer.text("error_description")?.contains("(trace ") == true)
            #expect(try await isVerified(tokens, broker), "\(what)")
        }
    }

    @Test func `another's signature, another type and no token answer 400`() async throws {
        try await LiveBroker.run(signsIn: true) { broker in
            let tokens = try await signIn(broker)
            let stranger = try TestIssuer(broker.issuer.issuer, algorithm: .ES256, keyID: broker.issuer.keyID)
            for token in [
                try stranger.token(claims(broker)), try broker.issuer.token(claims(broker), header: ["typ": "at+jwt"]),
                try broker.subjectToken(), tokens.access, tokens.refresh, "x",
            ] {
                let answer = try await broker.posted(Self.path, [("logout_token", token)])
                #expect(answer.status == 400 && answer.text("error") == "invalid_request", "\(answer.body)")
                #expect(!answer.body.contains(token) || token == "x")
            }
            #expect(try await isVerified(tokens, broker))
        }
    }

    @Test func `what is no such form is refused: its parameter, its type, a credential, its length, its method`()
        async throws
    {
        try await LiveBroker.run(signsIn: true) { broker in
            let good = try broker.issuer.token(claims(broker))
            func status(_ form: [(String, String)], _ headers: [(String, String)] = []) async throws -> Int {
                Int(try await broker.posted(Self.path, form, headers).status)
            }
            #expect(try await status([]) == 400)
            #expect(try await status([("logout_token", "")]) == 400)
            #expect(try await status([("logout_token", good), ("logout_token", good)]) == 400)
            #expect(try await status([("logout_token", good)], [("Authorization", "Basic YTpi")]) == 401)
            #expect(try await status([("logout_token", String(repeating: "a", count: 200_000))]) == 400)
            let json = try await broker.send(
                .POST, Self.path, [("Content-Type", "application/json")], body: #"{"logout_token":"x"}"#)
            #expect(json.status == 400)
            let get = try await broker.send(.GET, "\(Self.path)?logout_token=\(good)")
            #expect(get.status == 405 && get.headers.first(name: "Allow") == "POST")
            #expect(try await status([("logout_token", good), ("unknown", "x")]) == 200, "it was good all along")
        }
    }

    @Test func `a store that fails answers 503, and the same token is good when it comes again`() async throws {
        let store = MemoryStore()
        try await LiveBroker.run(store: store, signsIn: true) { broker in
            let tokens = try await signIn(broker)
            let token = try broker.issuer.token(claims(broker))
            store.fail(with: StoreFailure(.unavailable, "find", cause: "test"))
            let failed = try await broker.posted(Self.path, [("logout_token", token)])
            #expect(failed.status == 503 && failed.headers.first(name: "Retry-After") != nil, "\(failed.body)")
            store.fail(with: nil)
            #expect(try await broker.posted(Self.path, [("logout_token", token)]).status == 200)
            #expect(try await !isVerified(tokens, broker))
        }
    }

    @Test func `whoever sends too many is told 429, and the store has nothing of it`() async throws {
        let store = MemoryStore()
        try await LiveBroker.run(
            store: store, exchangesPerSecond: 5, trustedProxies: ["127.0.0.1"], signsIn: true
        ) { broker in
            func send(_ address: String) async throws -> Int {
                Int(
                    try await broker.posted(
                        Self.path, [("logout_token", "x")], [("X-Forwarded-For", address)]
                    ).status)
            }
            var statuses: Set<Int> = []
            for _ in 0..<50 { statuses.insert(try await send("192.0.2.7")) }
            #expect(statuses == [400, 429])
            #expect(try await send("192.0.2.8") == 400)
            #expect(store.events.isEmpty)
            let metrics = try await broker.send(.GET, "\(broker.telemetry)/metrics").body
            #expect(metrics.contains(#"daypass_http_responses_total{route="logout",status="client_error"} 51"#))
        }
    }

    @Test func `a logout has a place where exchanges have taken all of theirs`() async throws {
        let store = StuckStore(blocksThreads: false)
        try await LiveBroker.run(store: store, exchangesUnderWay: 1, signsIn: true) { broker in
            defer { store.release() }
            async let first = broker.exchange(broker.subjectToken())
            await store.untilCalled(1)
            #expect(try await logOut(broker, claims(broker)).status == 200)
            store.release()
            _ = try await first
        }
    }

    @Test func `where nobody signs in there is no such route`() async throws {
        try await LiveBroker.run { broker in
            let posted = try await broker.posted(Self.path, [("logout_token", "x")])
            let got = try await broker.send(.GET, Self.path)
            #expect(posted.status == 404 && got.status == 404)
        }
    }
}
