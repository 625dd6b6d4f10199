import BrokerHTTP
import BrokerTesting
import JOSE
import NIOHTTP1
import Testing

@Suite(.onOwnThreads) struct `Request headers` {
    @Test func `a token of the greatest length in both headers is read`() async throws {
        try await LiveBroker.run { broker in
            let token = String(repeating: "a", count: CompactJWS.maximumLength)
            let answer = try await broker.send(
                .GET, "/verify?scope=anthropic:messages", [("Authorization", "Bearer \(token)"), ("x-api-key", token)])
            #expect(answer.status == 401)
        }
    }

    @Test(arguments: [
        [("x-long", String(repeating: "a", count: 25 * 1024))],
        [("x-long", String(repeating: "a", count: 10 * 1024 * 1024))],
        (0..<4).map { ("x-\($0)", String(repeating: "a", count: 20 * 1024)) },
        (0..<129).map { ("x-\($0)", "a") },
    ])
    func `one that is too long, all of them together, or too many end the request`(
        _ headers: [(String, String)]
    ) async throws {
        try await LiveBroker.run { broker in
            // Where the connection is closed while the client still writes, there is no answer to be read.
            let answer = try? await broker.send(.GET, "/oauth/jwks", headers)
            let status = answer?.status
            #expect(status == nil || status == 431)
            let next = try await broker.send(.GET, "/oauth/jwks")
            #expect(next.status == 200)
        }
    }
}
