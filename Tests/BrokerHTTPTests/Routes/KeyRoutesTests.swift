import Broker
import BrokerTesting
import JOSE
import NIOHTTP1
import Testing

@Suite(.onOwnThreads) struct `The published documents` {
    @Test func `GET /oauth/jwks gives both keys, cacheable, and 304 to who has them`() async throws {
        try await LiveBroker.run { broker in
            let answer = try await broker.send(.GET, "/oauth/jwks")
            #expect(answer.status == 200)
            #expect(answer.headers.first(name: "Content-Type") == "application/jwk-set+json")
            #expect(answer.headers.first(name: "Cache-Control") == "public, max-age=300")
            let keys = try JWKSet(parsing: Array(answer.body.utf8))
            #expect(keys.keys.count == 2)
            #expect(keys.ignored.isEmpty)
            #expect(!answer.body.contains("\"d\""))

            let tag = try #require(answer.headers.first(name: "ETag"))
            for value in [tag, "W/\(tag)", "\"x\", \(tag)", "*"] {
                let again = try await broker.send(.GET, "/oauth/jwks", [("If-None-Match", value)])
                #expect(again.status == 304)
                #expect(again.body == "")
                #expect(again.headers.first(name: "ETag") == tag)
            }
            #expect(try await broker.send(.GET, "/oauth/jwks", [("If-None-Match", "\"x\"")]).status == 200)
        }
    }

    @Test(arguments: ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"])
    func `GET of the metadata says what RFC 8414 requires`(_ path: String) async throws {
        try await LiveBroker.run { broker in
            let answer = try await broker.send(.GET, path)
            #expect(answer.status == 200)
            #expect(answer.text("issuer") == "https://broker.example.com")
            #expect(answer.text("token_endpoint") == "https://broker.example.com/oauth/token")
            #expect(answer.text("jwks_uri") == "https://broker.example.com/oauth/jwks")
            #expect(answer.json["response_types_supported"] == ["none"])
            #expect(answer.json["token_endpoint_auth_methods_supported"] == ["none"])
            #expect(answer.json["id_token_signing_alg_values_supported"] == ["ES256"])
        }
    }

    @Test(arguments: ["/oauth/jwks", "/.well-known/oauth-authorization-server", "/healthz"])
    func `HEAD answers with the head of GET and no body`(_ path: String) async throws {
        try await LiveBroker.run { broker in
            let full = try await broker.send(.GET, path)
            let head = try await broker.send(.HEAD, path)
            #expect(head.status == 200)
            #expect(head.body == "")
            #expect(head.headers.first(name: "Content-Length") == full.headers.first(name: "Content-Length"))
        }
    }

    @Test(arguments: ["/", "/oauth", "/oauth/token/", "/OAUTH/token", "/verifyx", "/oauth/../oauth/jwks", "/readyz"])
    func `any other path answers 404 with a trace id`(_ path: String) async throws {
        try await LiveBroker.run { broker in
            let answer = try await broker.send(.GET, path)
            #expect(answer.status == 404, "\(path)")
            #expect(answer.headers.first(name: "Daypass-Trace-Id") != nil)
        }
    }

    @Test func `POST to a document answers 405 and says what is allowed`() async throws {
        try await LiveBroker.run { broker in
            let answer = try await broker.send(.POST, "/oauth/jwks")
            #expect(answer.status == 405)
            #expect(answer.headers.first(name: "Allow") == "GET, HEAD")
        }
    }
}
