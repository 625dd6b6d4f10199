import Broker
import BrokerHTTP
import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

@Suite(.onOwnThreads) struct `POST /oauth/token` {
    private static let jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    private static let tokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
    private static func type(_ name: String) -> String { "urn:ietf:params:oauth:token-type:\(name)" }

    @Test(arguments: ["jwt", "id_token"])
    func `answers 200 with a token, its type, life, scope and session for a token exchange`(_ type: String) async throws
    {
        try await LiveBroker.run { broker in
            let answer = try await broker.token([
                ("grant_type", Self.tokenExchange), ("subject_token", try broker.subjectToken()),
                ("subject_token_type", Self.type(type)), ("unknown_parameter", "ignored"), ("client_id", "ignored"),
            ])
            #expect(answer.status == 200, "\(answer.body)")
            #expect(answer.headers.first(name: "Content-Type") == "application/json")
            #expect(answer.headers.first(name: "Cache-Control") == "no-store")
            #expect(answer.headers.first(name: "Daypass-Trace-Id")?.utf8.count == 32)
            #expect(
                answer.json.members.map(\.name) == [
                    "access_token", "issued_token_type", "token_type", "expires_in", "scope", "session_id",
                ])
            #expect(answer.text("issued_token_type") == Self.type("access_token"))
            #expect(answer.text("token_type") == "Bearer")
            #expect(answer.json["expires_in"]?.number == 900)
            #expect(answer.text("scope") == "anthropic:messages anthropic:count_tokens")
        }
    }

    @Test func `answers 200 for a jwt-bearer assertion, without issued_token_type`() async throws {
        try await LiveBroker.run { broker in
            let answer = try await broker.token([
                ("grant_type", Self.jwtBearer), ("assertion", try broker.subjectToken()),
            ])
            #expect(answer.status == 200)
            #expect(answer.json["issued_token_type"] == nil)
            #expect(answer.text("access_token") != nil)
        }
    }

    @Test func `narrows the scope and names the audience that was asked for`() async throws {
        try await LiveBroker.run { broker in
            let answer = try await broker.exchange(
                broker.subjectToken(),
                [("scope", "anthropic:messages"), ("resource", "https://other.example.com")])
            #expect(answer.text("scope") == "anthropic:messages")
            let token = TokenSegments(try #require(answer.text("access_token")))
            let claims = try JSONReader.readObject(Base64URL.decode(ExactString(token.payload)))
            #expect(claims["aud"] == "https://other.example.com")
            #expect(claims["scope"] == "anthropic:messages")
        }
    }

    @Test(
        arguments: [
            ([("scope", "anthropic:admin")], "invalid_scope"), ([("scope", "a\"b")], "invalid_scope"),
            ([("scope", " ")], "invalid_scope"),
            ([("audience", "https://elsewhere.example.com")], "invalid_target"),
            ([("resource", "https://gateway.example.com/")], "invalid_target"),
            ([("resource", "gateway")], "invalid_target"),
            (
                [("audience", "https://gateway.example.com"), ("audience", "https://other.example.com")],
                "invalid_target"
            ),
            ([("resource", "https://gateway.example.com#f")], "invalid_target"),
            ([("rule", "no-such-rule")], "invalid_request"),
            ([("requested_token_type", "urn:ietf:params:oauth:token-type:id_token")], "invalid_request"),
            ([("requested_token_type", "jwt")], "invalid_request"),
            ([("actor_token", "x")], "invalid_request"), ([("actor_token_type", "x")], "invalid_request"),
            ([("client_secret", "x")], "invalid_client"), ([("client_assertion", "x")], "invalid_client"),
            ([("scope", "anthropic:messages"), ("scope", "anthropic:messages")], "invalid_request"),
        ] as [([(String, String)], String)])
    func `refuses what goes beyond the grant or the protocol`(_ more: [(String, String)], _ error: String) async throws
    {
        try await LiveBroker.run { broker in
            let answer = try await broker.exchange(broker.subjectToken(), more)
            #expect(answer.status == (error == "invalid_client" ? 401 : 400), "\(answer.body)")
            #expect(answer.text("error") == error)
            #expect(answer.headers.first(name: "Cache-Control") == "no-store")
        }
    }

    @Test(
        arguments: [
            ([], "invalid_request"), ([("grant_type", "password")], "unsupported_grant_type"),
            ([("grant_type", "Client_Credentials")], "unsupported_grant_type"),
            ([("grant_type", tokenExchange)], "invalid_request"),
            ([("grant_type", tokenExchange), ("subject_token", "x")], "invalid_request"),
            (
                [("grant_type", tokenExchange), ("subject_token", ""), ("subject_token_type", type("jwt"))],
                "invalid_request"
            ),
            (
                [("grant_type", tokenExchange), ("subject_token", "x"), ("subject_token_type", type("saml2"))],
                "invalid_request"
            ),
            (
                [("grant_type", tokenExchange), ("subject_token", "x"), ("subject_token_type", type("JWT"))],
                "invalid_request"
            ),
            (
                [("grant_type", tokenExchange), ("subject_token", "x"), ("subject_token_type", type("jwt"))],
                "invalid_request"
            ),
            ([("grant_type", jwtBearer)], "invalid_request"),
            ([("grant_type", jwtBearer), ("assertion", "x")], "invalid_grant"),
        ] as [([(String, String)], String)])
    func `answers 400 in the protocol's own words`(_ parameters: [(String, String)], _ error: String) async throws {
        try await LiveBroker.run { broker in
            let answer = try await broker.token(parameters)
            #expect(answer.status == 400, "\(answer.body)")
            #expect(answer.text("error") == error)
        }
    }

    @Test func `tells a caller nothing that tells a bad signature from a rule that did not match`() async throws {
        try await LiveBroker.run { broker in
            var forged = TokenSegments(try broker.subjectToken())
            forged.signature = TokenSegments(try broker.subjectToken(["jti": "2"])).signature
            let tokens = [
                "\(forged.header).\(forged.payload).\(forged.signature)",
                try broker.subjectToken(["ref": "refs/heads/feature"]), try broker.subjectToken(["exp": 1]),
                try broker.subjectToken(["aud": "https://elsewhere.example.com"]), "garbage",
            ]
            var texts: Set<String> = []
            for token in tokens {
                let answer = try await broker.exchange(token)
                #expect(answer.status == 400)
                let trace = try #require(answer.headers.first(name: "Daypass-Trace-Id"))
                texts.insert(answer.body.replacing(trace, with: "TRACE"))
            }
            let unknownRule = try await broker.exchange(broker.subjectToken(), [("rule", "unknown")])
            texts.insert(
                unknownRule.body.replacing(
                    try #require(unknownRule.headers.first(name: "Daypass-Trace-Id")), with: "TRACE"))
            #expect(texts.count == 1, "\(texts)")
        }
    }

    @Test func `answers 401 to a client that authenticates`() async throws {
        try await LiveBroker.run { broker in
            let answer = try await broker.send(
                .POST, "/oauth/token",
                [("Content-Type", "application/x-www-form-urlencoded"), ("Authorization", "Basic eDp5")], body: "a=b")
            #expect(answer.status == 401)
            #expect(answer.text("error") == "invalid_client")
            #expect(answer.headers.first(name: "WWW-Authenticate") != nil)
        }
    }

    @Test(arguments: [
        nil, "application/json", "text/plain", "application/x-www-form-urlencodedx", "multipart/form-data",
    ])
    func `answers 400 to a body that is not a form`(_ type: String?) async throws {
        try await LiveBroker.run { broker in
            let headers = type.map { [("Content-Type", $0)] } ?? []
            let answer = try await broker.send(.POST, "/oauth/token", headers, body: "{}")
            #expect(answer.status == 400)
            #expect(answer.text("error") == "invalid_request")
        }
    }

    @Test func `takes the media type with parameters and in any case`() async throws {
        try await LiveBroker.run { broker in
            let form = try LiveBroker.exchangeParameters(broker.subjectToken())
                .map { "\($0)=\(LiveBroker.encode($1))" }.joined(separator: "&")
            let answer = try await broker.send(
                .POST, "/oauth/token", [("Content-Type", "Application/X-WWW-Form-Urlencoded ; charset=UTF-8")],
                body: form)
            #expect(answer.status == 200, "\(answer.body)")
        }
    }

    @Test(arguments: ["GET", "PUT", "DELETE", "PATCH"])
    func `answers 405 to other methods and says which is allowed`(_ method: String) async throws {
        try await LiveBroker.run { broker in
            let answer = try await broker.send(.init(rawValue: method), "/oauth/token")
            #expect(answer.status == 405)
            #expect(answer.headers.first(name: "Allow") == "POST")
        }
    }

    @Test func `answers 400 to a body that is too long`() async throws {
        try await LiveBroker.run { broker in
            let answer = try await broker.exchange(String(repeating: "a", count: FormBody.maximumLength))
            #expect(answer.status == 400)
            #expect(answer.text("error") == "invalid_request")
        }
    }

    @Test func `answers 503 with Retry-After and no token when nothing can be recorded`() async throws {
        try await LiveBroker.run(store: BrokenStore()) { broker in
            for token in [try broker.subjectToken(), try broker.subjectToken(["ref": "refs/heads/feature"])] {
                let answer = try await broker.exchange(token)
                #expect(answer.status == 503)
                #expect(answer.text("error") == "temporarily_unavailable")
                #expect(answer.headers.first(name: "Retry-After") == "1")
                #expect(answer.json["access_token"] == nil)
            }
        }
    }

    @Test func `writes no description that is not printable`() async throws {
        try await LiveBroker.run { broker in
            let answer = try await broker.exchange("\"\\\u{e9}")
            let description = try #require(answer.text("error_description"))
            #expect(description.utf8.allSatisfy { (0x20...0x7E).contains($0) && $0 != 0x22 && $0 != 0x5C })
        }
    }
}

/// A store that neither records nor finds anything.
struct BrokenStore: ExchangeStore {
    func record(_ session: SessionRecord, _ event: AuditEvent) async throws(StoreFailure) -> UseOutcome {
        throw failure
    }
    func record(_ event: AuditEvent, renewing session: SessionRecord) async throws(StoreFailure) -> UseOutcome {
        throw failure
    }
    func record(
        _ session: SessionRecord, _ event: AuditEvent, using use: SubjectTokenUse
    ) async throws(StoreFailure) -> UseOutcome { throw failure }
    func record(_ event: AuditEvent) async throws(StoreFailure) { throw failure }
    func session(_ id: ExactString) async throws(StoreFailure) -> SessionRecord? { throw failure }
    func isSignIn(_ id: ExactString) async throws(StoreFailure) -> Bool { throw failure }
    private var failure: StoreFailure { StoreFailure(.unavailable, "recording", cause: "the disk is full") }
}
