import Broker
import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

/// `POST /oauth/token` with a gateway token as subject token, and with an actor token.
@Suite(.onOwnThreads) struct `POST /oauth/token, renewing` {
    private static func type(_ name: String) -> String { "urn:ietf:params:oauth:token-type:\(name)" }

    private func parameters(_ token: String, type: String = type("access_token")) -> [(String, String)] {
        [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"), ("subject_token_type", type),
            ("subject_token", token),
        ]
    }

    private func claims(_ answer: LiveBroker.Answer) throws -> JSONObject {
        let token = TokenSegments(try #require(answer.text("access_token"), "\(answer.body)"))
        return try JSONReader.readObject(Base64URL.decode(ExactString(token.payload)))
    }

    @Test func `answers 200 with another token of the same session`() async throws {
        try await LiveBroker.run { broker in
            let first = try await broker.exchange(broker.subjectToken())
            let token = try #require(first.text("access_token"))
            let answer = try await broker.token(parameters(token))
            #expect(answer.status == 200, "\(answer.body)")
            #expect(answer.headers.first(name: "Cache-Control") == "no-store")
            #expect(
                answer.json.members.map(\.name) == [
                    "access_token", "issued_token_type", "token_type", "expires_in", "scope", "session_id",
                ])
            #expect(answer.text("issued_token_type") == Self.type("access_token"))
            #expect(answer.text("token_type") == "Bearer")
            #expect(answer.text("scope") == first.text("scope"))
            #expect(answer.text("session_id") == first.text("session_id"))
            #expect(answer.text("access_token") != token)
            #expect(try claims(answer)["lin"] == claims(first)["lin"])
            let bearer = [("Authorization", "Bearer \(answer.text("access_token") ?? "")")]
            let verified = try await broker.send(.GET, "/verify?scope=anthropic:messages", bearer)
            #expect(verified.status == 200)
            #expect(verified.headers.first(name: "Daypass-Session") == first.text("session_id"))
        }
    }

    @Test func `answers 200 with a token of a session below when the scope is narrower, and 400 to widening it back`()
        async throws
    {
        try await LiveBroker.run { broker in
            let first = try await broker.exchange(broker.subjectToken())
            let token = try #require(first.text("access_token"))
            let child = try await broker.token(parameters(token) + [("scope", "anthropic:messages")])
            #expect(child.status == 200, "\(child.body)")
            #expect(child.text("scope") == "anthropic:messages")
            let (parentID, childID) = (
                try #require(first.text("session_id")), try #require(child.text("session_id"))
            )
            #expect(parentID != childID)
            #expect(
                try claims(child)["lin"]
                    == [.string(ExactString(parentID)), .string(ExactString(childID))])
            #expect(try claims(child)["exp"]?.number ?? .infinity <= claims(first)["exp"]?.number ?? 0)

            let childToken = try #require(child.text("access_token"))
            let widened = try await broker.token(
                parameters(childToken) + [("scope", "anthropic:messages anthropic:count_tokens")])
            #expect(widened.status == 400)
            #expect(widened.text("error") == "invalid_scope")
            let renewed = try await broker.token(parameters(childToken))
            #expect(renewed.text("scope") == "anthropic:messages")
            #expect(renewed.text("session_id") == childID)
        }
    }

    @Test(
        arguments: [
            ([("rule", "ci")], "invalid_request"), ([("rule", "no-such-rule")], "invalid_request"),
            ([("audience", "https://other.example.com")], "invalid_target"),
            ([("resource", "https://elsewhere.example.com")], "invalid_target"),
            ([("scope", "anthropic:admin")], "invalid_scope"), ([("scope", "a\"b")], "invalid_scope"),
            ([("requested_token_type", type("id_token"))], "invalid_request"),
            ([("actor_token", "x")], "invalid_request"), ([("actor_token_type", type("jwt"))], "invalid_request"),
            ([("actor_token", "x"), ("actor_token_type", type("jwt"))], "invalid_request"),
            ([("client_secret", "x")], "invalid_client"),
        ] as [([(String, String)], String)])
    func `refuses what a gateway token cannot have`(_ more: [(String, String)], _ error: String) async throws {
        try await LiveBroker.run { broker in
            let token = try await broker.gatewayToken()
            let answer = try await broker.token(parameters(token) + more)
            #expect(answer.status == (error == "invalid_client" ? 401 : 400), "\(answer.body)")
            #expect(answer.text("error") == error)
            #expect(answer.json["access_token"] == nil)
        }
    }

    @Test func `says that a rule cannot be named`() async throws {
        try await LiveBroker.run { broker in
            let answer = try await broker.token(parameters(broker.gatewayToken()) + [("rule", "ci")])
            #expect(answer.text("error_description")?.hasPrefix("a gateway token keeps the rule") == true)
        }
    }

    @Test func `takes the audience and the scope that the token has, and any word for the type of what it issues`()
        async throws
    {
        try await LiveBroker.run { broker in
            let first = try await broker.exchange(
                broker.subjectToken(), [("audience", "https://other.example.com")])
            let token = try #require(first.text("access_token"))
            let answer = try await broker.token(
                parameters(token) + [
                    ("audience", "https://other.example.com"), ("resource", "https://other.example.com"),
                    ("scope", first.text("scope") ?? ""), ("requested_token_type", Self.type("jwt")),
                ])
            #expect(answer.status == 200, "\(answer.body)")
            #expect(answer.text("session_id") == first.text("session_id"))
            #expect(answer.text("issued_token_type") == Self.type("jwt"))
            #expect(try claims(answer)["aud"] == "https://other.example.com")
        }
    }

    @Test func `tells apart neither tokens that are no good nor the types that they are presented as`() async throws {
        try await LiveBroker.run { broker in
            let good = try await broker.gatewayToken()
            let subject = try broker.subjectToken(["jti": "2"])
            var tampered = TokenSegments(good)
            tampered.signatureBytes[0] ^= 1
            let cases = [
                (tampered.token, "access_token"), (subject, "access_token"), ("x", "access_token"),
                (good, "jwt"), (good, "id_token"),
            ]
            var descriptions: Set<String> = []
            for (token, type) in cases {
                let answer = try await broker.token(parameters(token, type: Self.type(type)))
                #expect(answer.status == 400, "\(answer.body)")
                #expect(answer.text("error") == "invalid_request")
                let description = try #require(answer.text("error_description"))
                descriptions.insert(String(description.prefix { $0 != "(" }))
            }
            #expect(descriptions.count == 1)
        }
    }

    @Test func `answers 400 to a gateway token as an assertion`() async throws {
        try await LiveBroker.run { broker in
            let answer = try await broker.token([
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                ("assertion", try await broker.gatewayToken()),
            ])
            #expect(answer.status == 400)
            #expect(answer.text("error") == "invalid_grant")
        }
    }

    @Test func `answers 503 with Retry-After and no token when the session cannot be read`() async throws {
        let store = MemoryStore()
        try await LiveBroker.run(store: store) { broker in
            let token = try await broker.gatewayToken()
            store.fail(with: StoreFailure(.unavailable, "read a session", cause: "the disk is gone"))
            let answer = try await broker.token(parameters(token))
            #expect(answer.status == 503)
            #expect(answer.text("error") == "temporarily_unavailable")
            #expect(answer.headers.first(name: "Retry-After") == "1")
            #expect(answer.json["access_token"] == nil)
            #expect(!answer.body.contains("disk"))
        }
    }
}

@Suite(.onOwnThreads) struct `POST /oauth/token, with an actor` {
    private static func type(_ name: String) -> String { "urn:ietf:params:oauth:token-type:\(name)" }

    @Test(arguments: ["jwt", "id_token"])
    func `answers 200 with a token that says who acts`(type: String) async throws {
        try await LiveBroker.run { broker in
            let actor = try broker.subjectToken(["sub": "agent"])
            let answer = try await broker.exchange(
                broker.subjectToken(), [("actor_token", actor), ("actor_token_type", Self.type(type))])
            #expect(answer.status == 200, "\(answer.body)")
            let token = TokenSegments(try #require(answer.text("access_token")))
            let claims = try JSONReader.readObject(Base64URL.decode(ExactString(token.payload)))
            #expect(claims["sub"] == "ci:job")
            #expect(claims["act"] == ["sub": "ci:agent"])
        }
    }

    @Test(
        arguments: [
            [("actor_token", "x")], [("actor_token_type", type("jwt"))],
            [("actor_token", ""), ("actor_token_type", type("jwt"))],
            [("actor_token", "x"), ("actor_token_type", "")],
            [("actor_token", "x"), ("actor_token_type", "jwt")],
            [("actor_token", "x"), ("actor_token_type", type("JWT"))],
            [("actor_token", "x"), ("actor_token_type", type("access_token"))],
            [("actor_token", "x"), ("actor_token_type", type("saml2"))],
            [("actor_token", "x"), ("actor_token_type", type("jwt"))],
            [("actor_token", "x"), ("actor_token", "x"), ("actor_token_type", type("jwt"))],
        ] as [[(String, String)]])
    func `answers 400 to one that is incomplete, of another type, or no good`(_ actor: [(String, String)]) async throws
    {
        try await LiveBroker.run { broker in
            let answer = try await broker.exchange(broker.subjectToken(), actor)
            #expect(answer.status == 400, "\(answer.body)")
            #expect(answer.text("error") == "invalid_request")
            #expect(answer.json["access_token"] == nil)
        }
    }

    @Test func `answers 400 to a gateway token that is to act`() async throws {
        try await LiveBroker.run { broker in
            for type in ["jwt", "access_token"] {
                let answer = try await broker.exchange(
                    broker.subjectToken(),
                    [("actor_token", try await broker.gatewayToken()), ("actor_token_type", Self.type(type))])
                #expect(answer.status == 400)
                #expect(answer.text("error") == "invalid_request")
            }
        }
    }

    @Test func `answers 400 to an actor that may_act does not name`() async throws {
        try await LiveBroker.run { broker in
            let token = try broker.subjectToken(["may_act": ["sub": "agent"]])
            for (name, status) in [("other", 400), ("agent", 200)] {
                let actor = try broker.subjectToken(["sub": .string(ExactString(name))])
                let answer = try await broker.exchange(
                    token, [("actor_token", actor), ("actor_token_type", Self.type("jwt"))])
                #expect(answer.status == status, "\(answer.body)")
            }
        }
    }

    @Test func `a jwt-bearer assertion has no actor: the parameters mean nothing there`() async throws {
        try await LiveBroker.run { broker in
            let answer = try await broker.token([
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", try broker.subjectToken()),
                ("actor_token", "x"),
            ])
            #expect(answer.status == 200)
        }
    }
}

@Suite(.onOwnThreads) struct `POST /oauth/token, with one token again` {
    @Test func `answers 200 within the window, all in one session, and then 400`() async throws {
        try await LiveBroker.run { broker in
            let token = try broker.subjectToken()
            var sessions: Set<String?> = []
            for _ in 0..<32 {
                let answer = try await broker.exchange(token)
                #expect(answer.status == 200, "\(answer.body)")
                sessions.insert(answer.text("session_id"))
            }
            #expect(sessions.count == 1)
            let refused = try await broker.exchange(token)
            #expect(refused.status == 400)
            #expect(refused.text("error") == "invalid_request")
            let bearer = try await broker.token([
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", token),
            ])
            #expect(bearer.status == 400)
            #expect(bearer.text("error") == "invalid_grant", "by whichever grant type it comes")
        }
    }
}
