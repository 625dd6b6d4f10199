import Broker
import BrokerHTTP
import BrokerTesting
import Foundation
import NIOCore
import NIOHTTP1
import Testing

/// What stands in front of the router, over real sockets.
@Suite(.onOwnThreads, .timeLimit(.minutes(2))) struct `The fast path` {
    private static let layers: [FastPathLayers] = [[], .direct, .gate, .all]

    private func count(_ name: String, _ broker: LiveBroker) async throws -> Int {
        let metrics = try await broker.send(.GET, "\(broker.telemetry)/metrics").body
        let line = try #require(metrics.split(separator: "\n").first { $0.hasPrefix(name + " ") }, "\(name)")
        return try #require(Int(line.dropFirst(name.count + 1)))
    }

    @Test(arguments: layers) func `counts what it answers as the router does`(_ layers: FastPathLayers) async throws {
        try await LiveBroker.run(fastPath: layers) { broker in
            let token = try await broker.gatewayToken()
            for _ in 0..<3 {
                let answer = try await broker.send(.GET, "/verify?scope=anthropic:messages", [("x-api-key", token)])
                #expect(answer.status == 200)
            }
            _ = try await broker.send(.GET, "/verify", [("x-api-key", token)])
            _ = try await broker.send(.GET, "/verify", [("x-api-key", "a")])
            _ = try await broker.send(.GET, "/verify")
            _ = try await broker.send(.GET, "/oauth/jwks")
            _ = try await broker.send(.GET, "/healthz")
            let responses = "daypass_http_responses_total"
            #expect(try await count(responses + #"{route="verify",status="success"}"#, broker) == 3)
            #expect(try await count(responses + #"{route="verify",status="client_error"}"#, broker) == 3)
            #expect(try await count(responses + #"{route="keys",status="success"}"#, broker) == 1)
            #expect(try await count(responses + #"{route="health",status="success"}"#, broker) == 1)
            for (outcome, expected) in ["allowed": 3, "nothing_required": 1, "malformed": 1, "missing": 1] {
                #expect(try await count("daypass_verdicts_total{outcome=\"\(outcome)\"}", broker) == expected)
            }
        }
    }

    @Test(arguments: layers)
    func `a connection that stays open ends with the listener`(_ layers: FastPathLayers) async throws {
        let (connections, continuation) = AsyncStream<RawConnection>.makeStream()
        try await LiveBroker.run(fastPath: layers) { broker in
            let idle = try await broker.connect()
            #expect(await idle.ask().hasPrefix("HTTP/1.1 401 "))
            let begun = try await broker.connect()
            #expect(await begun.ask().hasPrefix("HTTP/1.1 401 "))
            begun.write("GET /verify HTTP/1.1\r\nHo")
            // On every event loop: what came before has been read by then.
            for _ in 0..<16 {
                let other = try await broker.connect()
                #expect(await other.ask().hasPrefix("HTTP/1.1 401 "))
                try await other.close()
            }
            continuation.yield(idle)
            continuation.yield(begun)
        }
        continuation.finish()
        var answers: [String] = []
        for await connection in connections { answers.append(await connection.everything(after: "")) }
        #expect(answers.first == "")
        // What has begun and does not end is answered.
        #expect(answers.last?.hasPrefix("HTTP/1.1 408 ") == true)
        #expect(answers.last?.contains("Connection: close\r\n") == true)
    }

    @Test(arguments: layers)
    func `answers in order what is pipelined behind an exchange`(_ layers: FastPathLayers) async throws {
        try await LiveBroker.run(fastPath: layers) { broker in
            let body = LiveBroker.exchangeParameters(try broker.subjectToken()).map { "\($0)=\($1)" }
                .joined(separator: "&")
            let exchange =
                "POST /oauth/token HTTP/1.1\r\nHost: a\r\n"
                + "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
            let verify = "GET /verify HTTP/1.1\r\nHost: a\r\n\r\n"
            let health = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
            let answer = try await broker.connect().everything(
                after: verify + health + exchange + verify + health + verify + exchange
                    + "GET /verify HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            let statuses = answer.matches(of: /HTTP\/1\.1 (\d+)/).map { String($0.1) }
            #expect(statuses == ["401", "200", "200", "401", "200", "401", "200", "401"])
        }
    }

    @Test(arguments: [FastPathLayers.direct, .all]) func `holds no more for who takes nothing than it may`(
        _ layers: FastPathLayers
    )
        async throws
    {
        var bounds = ConnectionBounds.patient
        // Longer than a busy machine takes until the client has sent enough.
        bounds.idle = .seconds(5)
        bounds.response = .seconds(5)
        try await LiveBroker.run(connectionBounds: bounds, fastPath: layers) { broker in
            let deaf = try await broker.connect(reads: false)
            let requests = String(repeating: "GET /verify HTTP/1.1\r\nHost: a\r\n\r\n", count: 1000)
            for _ in 0..<100 { deaf.write(requests) }
            // It is given up, not answered into memory.
            await deaf.end()
            #expect(try await broker.refusals(by: "slow_response") == 1)
            #expect(
                try await count(#"daypass_http_responses_total{route="verify",status="client_error"}"#, broker)
                    < 100_000)
        }
    }
}
