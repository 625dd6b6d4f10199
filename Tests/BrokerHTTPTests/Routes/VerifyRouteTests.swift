import Broker
import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

@Suite(.onOwnThreads) struct `ANY /verify` {
    private static let scope = ("Daypass-Require-Scope", "anthropic:messages")

    @Test(arguments: ["GET", "POST", "HEAD", "DELETE", "PROPFIND"], ["/verify", "/verify/v1/messages?beta=true"])
    func `answers 200 with subject, session, rule, scope and expiry`(_ method: String, _ path: String) async throws {
        try await LiveBroker.run { broker in
            let token = try await broker.gatewayToken()
            let answer = try await broker.send(
                .init(rawValue: method), path, [Self.scope, ("Authorization", "Bearer \(token)")])
            #expect(answer.status == 200)
            #expect(answer.headers.first(name: "Daypass-Subject") == "ci:job")
            #expect(answer.headers.first(name: "Daypass-Rule") == "ci")
            #expect(answer.headers.first(name: "Daypass-Scope") == "anthropic:messages anthropic:count_tokens")
            #expect(answer.headers.first(name: "Daypass-Session")?.utf8.count == 22)
            let expires = try #require(answer.headers.first(name: "Daypass-Expires").flatMap(Double.init))
            #expect(abs(expires - Date().timeIntervalSince1970 - 900) < 60)
            #expect(answer.headers.first(name: "Daypass-Trace-Id") != nil)
        }
    }

    @Test func `takes the token from x-api-key, and from both headers when they agree`() async throws {
        try await LiveBroker.run { broker in
            let token = try await broker.gatewayToken()
            let alone = try await broker.send(.GET, "/verify", [Self.scope, ("x-api-key", token)])
            #expect(alone.status == 200)
            let both = try await broker.send(
                .GET, "/verify", [Self.scope, ("x-api-key", token), ("Authorization", "bearer \(token)")])
            #expect(both.status == 200)
        }
    }

    @Test func `answers 401 to every ambiguous or missing credential`() async throws {
        try await LiveBroker.run { broker in
            let token = try await broker.gatewayToken()
            let other = try await broker.gatewayToken()
            let cases: [[(String, String)]] = [
                [], [("Authorization", "Bearer")], [("Authorization", "Bearer ")], [("x-api-key", "")],
                [("Authorization", "Bearer \(token)"), ("x-api-key", other)],
                [("Authorization", "Bearer \(token)"), ("Authorization", "Bearer \(token)")],
                [("x-api-key", token), ("x-api-key", token)],
                [("Authorization", "Basic \(token)"), ("x-api-key", token)], [("Authorization", token)],
                [("Authorization", "Bearer \(token) \(token)")], [("Authorization", "Bearer \(token),")],
            ]
            for headers in cases {
                let answer = try await broker.send(.GET, "/verify", [Self.scope] + headers)
                #expect(answer.status == 401, "\(headers.map(\.0))")
                let challenge = headers.isEmpty ? "Bearer" : #"Bearer error="invalid_token""#
                #expect(answer.headers.first(name: "WWW-Authenticate") == challenge)
                #expect(answer.headers.first(name: "Daypass-Subject") == nil)
            }
        }
    }

    @Test func `answers 401 invalid_token to a subject token and to garbage`() async throws {
        try await LiveBroker.run { broker in
            for token in [try broker.subjectToken(), "garbage", "a.b.c", String(repeating: "a", count: 20_000)] {
                let answer = try await broker.send(.GET, "/verify", [Self.scope, ("Authorization", "Bearer \(token)")])
                #expect(answer.status == 401)
                #expect(answer.headers.first(name: "WWW-Authenticate") == #"Bearer error="invalid_token""#)
            }
        }
    }

    @Test func `answers 403 insufficient_scope only when the token is good and the scope or model is not`() async throws
    {
        try await LiveBroker.run { broker in
            let bearer = ("Authorization", "Bearer \(try await broker.gatewayToken())")
            let denied: [[(String, String)]] = [
                [("Daypass-Require-Scope", "openai:responses")],
                [("Daypass-Require-Scope", "anthropic:messages, openai:responses")],
                [("Daypass-Require-Scope", "anthropic:messages"), ("Daypass-Require-Scope", "openai:responses")],
                [("Daypass-Require-Scope", "anthropic:messages"), ("Daypass-Require-Model", "gpt-5")],
                [("Daypass-Require-Scope", "bad\\scope")],
            ]
            for headers in denied {
                let answer = try await broker.send(.GET, "/verify", headers + [bearer])
                #expect(answer.status == 403, "\(headers)")
                #expect(answer.headers.first(name: "WWW-Authenticate") == #"Bearer error="insufficient_scope""#)
            }
            let allowed = try await broker.send(
                .GET, "/verify", [Self.scope, ("Daypass-Require-Model", "claude-sonnet-4"), bearer])
            #expect(allowed.status == 200)
        }
    }

    @Test func `answers 403 with a hint when nothing is required, unless that is configured`() async throws {
        try await LiveBroker.run { broker in
            let bearer = ("Authorization", "Bearer \(try await broker.gatewayToken())")
            let answer = try await broker.send(.GET, "/verify", [bearer])
            #expect(answer.status == 403)
            #expect(answer.headers.first(name: "Daypass-Hint") != nil)
        }
        try await LiveBroker.run(verify: VerifyConfiguration(requireScope: false)) { broker in
            let bearer = ("Authorization", "Bearer \(try await broker.gatewayToken())")
            #expect(try await broker.send(.GET, "/verify", [bearer]).status == 200)
        }
    }

    @Test func `takes 32 required models, and answers 403 with a hint to more, however they come`() async throws {
        try await LiveBroker.run { broker in
            let models = (1...33).map { "claude-sonnet-\($0)" }
            let bearer = ("Authorization", "Bearer \(try await broker.gatewayToken())")
            func answer(_ fields: [String], _ bearer: (String, String)) async throws -> LiveBroker.Answer {
                let headers = fields.map { ("Daypass-Require-Model", $0) }
                return try await broker.send(.GET, "/verify", [Self.scope, bearer] + headers)
            }
            #expect(try await answer([models.dropLast().joined(separator: ", ")], bearer).status == 200)
            #expect(try await answer(Array(models.dropLast()), bearer).status == 200)
            for fields in [[models.joined(separator: ",")], models] {
                let refused = try await answer(fields, bearer)
                #expect(refused.status == 403)
                #expect(
                    refused.headers.first(name: "Daypass-Hint")
                        == "the gateway may name at most 32 models in Daypass-Require-Model")
            }
            #expect(try await answer(models, ("Authorization", "Bearer x")).status == 401)
        }
    }

    @Test func `reads the query on exactly /verify, where the gateway writes it, and nowhere below`() async throws {
        try await LiveBroker.run { broker in
            let bearer = ("Authorization", "Bearer \(try await broker.gatewayToken())")
            #expect(try await broker.send(.GET, "/verify?scope=anthropic:messages", [bearer]).status == 200)
            #expect(try await broker.send(.GET, "/verify?scope=openai:responses", [bearer]).status == 403)
            #expect(try await broker.send(.GET, "/verify?scope=anthropic:messages&model=gpt-5", [bearer]).status == 403)
            #expect(try await broker.send(.GET, "/verify?scope=%zz", [bearer]).status == 403)
            #expect(try await broker.send(.GET, "/verify?scope=a&scope=b", [bearer]).status == 403)
            // Only for a good token: whoever has another one gets himself a new one.
            let bad = ("Authorization", "Bearer x")
            #expect(try await broker.send(.GET, "/verify?scope=%zz", [bad]).status == 401)
            let long = ("Daypass-Require-Scope", String(repeating: "anthropic:messages ", count: 650))
            #expect(try await broker.send(.GET, "/verify", [long, bearer]).status == 403)
            #expect(try await broker.send(.GET, "/verify", [long, bad]).status == 401)
            // Below, the query is the client's: it neither satisfies nor changes what the gateway requires.
            #expect(try await broker.send(.GET, "/verify/?scope=anthropic:messages", [bearer]).status == 403)
            #expect(
                try await broker.send(.GET, "/verify/x?scope=openai:responses", [Self.scope, bearer]).status == 200)
        }
    }

    @Test func `encodes a subject so that it cannot leave its header`() async throws {
        try await LiveBroker.run { broker in
            let token = try await broker.gatewayToken(["sub": "a b%é\u{202E}"])
            let answer = try await broker.send(.GET, "/verify", [Self.scope, ("x-api-key", token)])
            #expect(answer.headers.first(name: "Daypass-Subject") == "ci:a%20b%25%C3%A9%E2%80%AE")
        }
    }
}
