import Broker
import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

/// Failed verifications are limited by the address that a gateway asks for.
@Suite(.onOwnThreads) struct `The limit on failed verifications` {
    private static let slow = VerifyConfiguration(failuresPerSecondPerAddress: 1)

    private func verify(
        _ broker: LiveBroker, _ token: String, for client: String? = nil
    ) async throws -> LiveBroker.Answer {
        let forwarded = client.map { [("X-Forwarded-For", $0)] } ?? []
        return try await broker.send(
            .GET, "/verify?scope=anthropic:messages", [("Authorization", "Bearer \(token)")] + forwarded)
    }

    /// The token with another signature.
    private func forged(_ token: String, _ number: Int) throws -> String {
        let segments = TokenSegments(token)
        var signature = try Base64URL.decode(ExactString(segments.signature))
        signature[number % 60] ^= UInt8(1 + number / 60)
        return "\(segments.header).\(segments.payload).\(Base64URL.encode(signature))"
    }

    /// The answers to different forgeries, up to the first that is not 401: one a second are checked, and five more at once.
    private func statuses(
        of token: String, _ broker: LiveBroker, for client: String? = nil
    ) async throws -> [Int] {
        var statuses: [Int] = []
        for number in 0..<60 where statuses.last ?? 401 == 401 {
            statuses.append(try await verify(broker, forged(token, number), for: client).status)
        }
        return statuses
    }

    @Test func `answers 429 with Retry-After to tokens that are not known, and 200 to those that are`() async throws {
        try await LiveBroker.run(verify: Self.slow) { broker in
            let (known, unknown) = (try await broker.gatewayToken(), try await broker.gatewayToken())
            #expect(try await verify(broker, known).status == 200)
            let statuses = try await statuses(of: known, broker)
            #expect(statuses.prefix(5).allSatisfy { $0 == 401 } && statuses.last == 429, "\(statuses)")
            let held = try await verify(broker, unknown)
            #expect(held.status == 429 || held.status == 200, "a second may have passed")
            if held.status == 429 {
                #expect(held.headers.first(name: "Retry-After") == "1")
                #expect(held.headers.first(name: "WWW-Authenticate") == nil)
                #expect(held.headers.first(name: "Daypass-Subject") == nil)
            }
            #expect(try await verify(broker, known).status == 200)
            let metrics = try await broker.send(.GET, "\(broker.telemetry)/metrics").body.split(separator: "\n")
            #expect(!metrics.contains(#"daypass_verdicts_total{outcome="too_many_failures"} 0"#))
        }
    }

    @Test func `counts for each client that a trusted proxy names, and never for the proxy`() async throws {
        try await LiveBroker.run(verify: Self.slow, trustedProxies: ["127.0.0.1"]) { broker in
            let token = try await broker.gatewayToken()
            for number in 60..<80 { #expect(try await verify(broker, forged(token, number)).status == 401) }
            let statuses = try await statuses(of: token, broker, for: "192.0.2.1")
            #expect(statuses.last == 429, "\(statuses)")
            #expect(try await verify(broker, token, for: "192.0.2.2").status == 200)
        }
    }
}
