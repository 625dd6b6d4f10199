import Broker
import BrokerHTTP
import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

@Suite(.onOwnThreads) struct `POST /v1/oauth/token` {
    static let grantType: JSONValue = "urn:ietf:params:oauth:grant-type:jwt-bearer"

    private func send(
        _ body: JSONObject, to broker: LiveBroker, type: String = "application/json"
    ) async throws -> LiveBroker.Answer {
        try await send(String(decoding: body.encoded(), as: UTF8.self), to: broker, type: type)
    }

    private func send(
        _ body: String, to broker: LiveBroker, type: String = "application/json"
    ) async throws -> LiveBroker.Answer {
        let headers = [
            ("Content-Type", type), ("anthropic-beta", "oauth-2025-04-20,oidc-federation-2026-04-01"),
        ]
        return try await broker.send(.POST, "/v1/oauth/token", headers, body: body)
    }

    /// As the SDKs write it, for the rule `sdk`, with some members replaced.
    private func call(_ assertion: String, _ changes: JSONObject = [:]) -> JSONObject {
        let body: JSONObject = [
            "grant_type": Self.grantType, "assertion": .string(ExactString(assertion)), "federation_rule_id": "sdk",
            "organization_id": "3e8f0a52-6b0f-4f0e-9a51-5b1c7d3a9e10", "service_account_id": "svac_01",
        ]
        return body.merging(changes)
    }

    private func expectTraced(_ answer: LiveBroker.Answer) {
        let trace = answer.headers.first(name: "Daypass-Trace-Id")
        #expect(trace?.utf8.count == 32)
        #expect(answer.headers["request-id"] == [trace])
    }

    @Test(arguments: ["application/json", "application/json; charset=utf-8", "Application/JSON"])
    func `answers 200 with a token of the rule that was named, its life, scope and session`(type: String) async throws {
        try await LiveBroker.run { broker in
            let answer = try await send(
                call(broker.subjectToken(), ["unknown": ["a": 1]]), to: broker, type: type)
            #expect(answer.status == 200, "\(answer.body)")
            expectTraced(answer)
            #expect(answer.headers.first(name: "Cache-Control") == "no-store")
            #expect(answer.headers.first(name: "Content-Type") == "application/json")
            #expect(
                answer.json.members.map(\.name) == ["access_token", "token_type", "expires_in", "scope", "session_id"])
            #expect(answer.text("token_type") == "Bearer")
            #expect(answer.json["expires_in"]?.number == 900)
            #expect(answer.text("scope") == "anthropic:messages")
            let token = try #require(answer.text("access_token"))
            let claims = try JSONReader.readObject(Base64URL.decode(ExactString(TokenSegments(token).payload)))
            #expect(claims["rule"] == "sdk")
        }
    }

    @Test func `without a rule's name the first one that matches is used`() async throws {
        try await LiveBroker.run { broker in
            let body: JSONObject = [
                "grant_type": Self.grantType, "assertion": .string(ExactString(try broker.subjectToken())),
                "organization_id": "", "scope": "anthropic:count_tokens",
            ]
            let answer = try await send(body, to: broker)
            #expect(answer.status == 200, "\(answer.body)")
            #expect(answer.text("scope") == "anthropic:count_tokens")
        }
    }

    @Test func `answers 401 in one and the same way to whatever is not granted, and says why on the record`()
        async throws
    {
        try await LiveBroker.run { broker in
            let good = try broker.subjectToken()
            let refused: [JSONObject] = [
                call("garbage"), call(try broker.subjectToken(["exp": 1])),
                call(try broker.subjectToken(["ref": "refs/heads/feature"])),
                call(good, ["federation_rule_id": "none"]),
                call(good, ["organization_id": "3E8F0A52-6B0F-4F0E-9A51-5B1C7D3A9E10"]),
                call(good, ["organization_id": ""]), call(good, ["service_account_id": "svac_02"]),
            ]
            var texts: Set<String> = []
            for body in refused {
                let answer = try await send(body, to: broker)
                #expect(answer.status == 401, "\(answer.body)")
                expectTraced(answer)
                #expect(answer.text("error") == "invalid_grant")
                #expect(answer.headers.first(name: "WWW-Authenticate") == #"Bearer realm="daypass""#)
                #expect(answer.headers.first(name: "Cache-Control") == "no-store")
                #expect(answer.json.members.map(\.name) == ["error", "error_description"])
                let trace = try #require(answer.headers.first(name: "request-id"))
                texts.insert(answer.body.replacing(trace, with: "TRACE"))
            }
            #expect(texts.count == 1, "\(texts)")
            let events = (broker.store as? MemoryStore)?.events ?? []
            let wrongAccount = try #require(events.last?.details["explanation"]?.object)
            #expect(
                wrongAccount["rules"] == [
                    [
                        "rule": "sdk",
                        "failed": [["parameter": "service_account_id", "wanted": ["svac_01"], "got": "svac_02"]],
                        "held": [
                            ["claim": "repository_id", "wanted": ["1"], "got": "1"],
                            ["claim": "ref", "wanted": ["refs/heads/main"], "got": "refs/heads/main"],
                        ],
                    ]
                ])
        }
    }

    @Test(
        arguments: [
            "", "{}", "[]", "null", "\"x\"", "{", "{} {}", #"{"grant_type":1,"assertion":"x"}"#,
            #"{"grant_type":"G"}"#, #"{"grant_type":"G","assertion":""}"#, #"{"grant_type":"G","assertion":null}"#,
            #"{"grant_type":"G","assertion":["x"]}"#, #"{"grant_type":"G","assertion":{"a":"x"}}"#,
            #"{"grant_type":"G","assertion":"x","assertion":"x"}"#,
            #"{"grant_type":"G","assertion":"x","\u0061ssertion":"y"}"#,
            #"{"grant_type":"G","grant_type":"G","assertion":"x"}"#,
            #"{"grant_type":"G","assertion":"x","unknown":1,"unknown":1}"#,
            #"{"grant_type":"G","assertion":"x","federation_rule_id":1}"#,
            #"{"grant_type":"G","assertion":"x","organization_id":null}"#,
            #"{"grant_type":"G","assertion":"x","service_account_id":{}}"#,
            #"{"grant_type":"G","assertion":"x","workspace_id":true}"#,
            #"{"grant_type":"G","assertion":"x","scope":["a"]}"#,
            #"{"grant_type":"G","assertion":"x","workspace_id":"a\u0000b"}"#, #"{"grant_type":"G","assertion":"x\n"}"#,
            "\u{FEFF}{}", #"{"a":[[[[[[[[[1]]]]]]]]]}"#,
        ])
    func `answers 400 invalid_request to what is not such a call`(body: String) async throws {
        try await LiveBroker.run { broker in
            let answer = try await send(
                body.replacing("\"G\"", with: "\"urn:ietf:params:oauth:grant-type:jwt-bearer\""), to: broker)
            #expect(answer.status == 400, "\(answer.body)")
            #expect(answer.text("error") == "invalid_request")
            #expect(answer.text("error_description")?.isEmpty == false)
            expectTraced(answer)
        }
    }

    @Test func `answers 400 to another grant type, too much scope and a body that is too long`() async throws {
        try await LiveBroker.run { broker in
            for type: JSONValue in [
                "refresh_token", "urn:ietf:params:oauth:grant-type:token-exchange", "client_credentials",
            ] {
                let answer = try await send(call("x", ["grant_type": type]), to: broker)
                #expect(answer.status == 400)
                #expect(answer.text("error") == "unsupported_grant_type")
                expectTraced(answer)
            }
            for scope: JSONValue in ["anthropic:admin", "a\"b", " "] {
                let answer = try await send(call(broker.subjectToken(), ["scope": scope]), to: broker)
                #expect(answer.status == 400)
                #expect(answer.text("error") == "invalid_scope")
            }
            let long = try await send(call(String(repeating: "a", count: 128 * 1024)), to: broker)
            #expect(long.status == 400)
            #expect(long.text("error") == "invalid_request")
            expectTraced(long)
        }
    }

    @Test(arguments: ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "application/json,x/y"])
    func `answers 400 to a body of another media type`(type: String) async throws {
        try await LiveBroker.run { broker in
            let answer = try await send(call(broker.subjectToken()), to: broker, type: type)
            #expect(answer.status == 400)
            #expect(answer.text("error") == "invalid_request")
            expectTraced(answer)
        }
    }

    @Test func `answers 401 to a client that authenticates`() async throws {
        try await LiveBroker.run { broker in
            let body = String(decoding: call(try broker.subjectToken()).encoded(), as: UTF8.self)
            let headers = [("Content-Type", "application/json"), ("Authorization", "Bearer x")]
            let answers = [
                try await broker.send(.POST, "/v1/oauth/token", headers, body: body),
                try await send(call(broker.subjectToken(), ["client_secret": "x"]), to: broker),
            ]
            for answer in answers {
                #expect(answer.status == 401)
                #expect(answer.text("error") == "invalid_client")
                expectTraced(answer)
            }
        }
    }

    @Test(arguments: ["GET", "HEAD", "PUT", "DELETE"])
    func `answers 405 to other methods, traced as well`(method: String) async throws {
        try await LiveBroker.run { broker in
            let answer = try await broker.send(.init(rawValue: method), "/v1/oauth/token")
            #expect(answer.status == 405)
            #expect(answer.headers.first(name: "Allow") == "POST")
            expectTraced(answer)
        }
    }

    @Test func `answers 503 with Retry-After and no token when nothing can be recorded`() async throws {
        try await LiveBroker.run(store: BrokenStore()) { broker in
            let answer = try await send(call(broker.subjectToken()), to: broker)
            #expect(answer.status == 503)
            #expect(answer.text("error") == "temporarily_unavailable")
            #expect(answer.headers.first(name: "Retry-After") == "1")
            #expect(answer.json["access_token"] == nil)
            expectTraced(answer)
        }
    }

    @Test func `a rule that lists ids is not for those who name none, on the other route either`() async throws {
        try await LiveBroker.run { broker in
            let answer = try await broker.exchange(broker.subjectToken(), [("rule", "sdk")])
            #expect(answer.status == 400)
            #expect(answer.text("error") == "invalid_request")
        }
    }
}
