import Broker
import BrokerHTTP
import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

@Suite(.onOwnThreads) struct `Limits of the public listener` {
    private static let form = ("Content-Type", "application/x-www-form-urlencoded")

    private func refusal(_ answer: LiveBroker.Answer, _ status: Int) {
        #expect(answer.status == status, "\(answer.body)")
        #expect(answer.text("error") == "temporarily_unavailable")
        #expect(answer.text("error_description")?.contains("(trace ") == true)
        #expect(answer.headers.first(name: "Retry-After") == "1")
        #expect(answer.headers.first(name: "Cache-Control") == "no-store")
        #expect(answer.headers.first(name: "Content-Type") == "application/json")
        #expect(answer.headers.first(name: "Daypass-Trace-Id") != nil)
    }

    private static func exchange(
        _ broker: LiveBroker, _ id: ExactString, from address: String
    ) async throws -> LiveBroker.Answer {
        let parameters = LiveBroker.exchangeParameters(try broker.subjectToken(["jti": .string(id)]))
        return try await broker.token(parameters, [("X-Forwarded-For", address)])
    }

    @Test(arguments: ["/oauth/token", "/v1/oauth/token"])
    func `POST answers 429 to an address over its rate, whatever it sends`(path: String) async throws {
        // One exchange a second: a second one within the test's first second is over the limit.
        try await LiveBroker.run(exchangesPerSecond: 1, trustedProxies: ["127.0.0.1"]) { broker in
            let client = { @Sendable (address: String) in
                try await broker.send(.POST, path, [Self.form, ("X-Forwarded-For", address)], body: "")
            }
            // As many at once as it takes to be sure that two were sent within a second.
            let answers = try await withThrowingTaskGroup(of: LiveBroker.Answer.self) { group in
                for _ in 0..<8 { group.addTask { try await client("192.0.2.1") } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            let refused = answers.filter { $0.status != 400 }
            #expect(!refused.isEmpty)
            #expect(refused.count < 8)
            for answer in refused { refusal(answer, 429) }
            #expect(try await client("192.0.2.2").status == 400, "another address is not affected")
            #expect(try await client("192.0.2.1, 192.0.2.3").status == 400, "nor by what somebody made up")

            let metrics = try await broker.send(.GET, "\(broker.telemetry)/metrics").body
            let count = try #require(metrics.firstMatch(of: /daypass_limit_refusals_total{limit="address_rate"} (\d+)/))
            #expect(Int(count.1) == refused.count)
        }
    }

    @Test func `an untrusted peer cannot name another address`() async throws {
        try await LiveBroker.run(exchangesPerSecond: 1) { broker in
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for one in 0..<8 {
                    let headers = [Self.form, ("X-Forwarded-For", "192.0.2.\(one)")]
                    group.addTask { try await broker.send(.POST, "/oauth/token", headers, body: "").status }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(statuses.contains(429))
        }
    }

    @Test func `GET and /verify are not limited by address`() async throws {
        try await LiveBroker.run(exchangesPerSecond: 1) { broker in
            for (path, status) in [("/oauth/token", 405), ("/verify", 401), ("/oauth/jwks", 200)] {
                for _ in 0..<10 {
                    let answer = try await broker.send(.GET, path)
                    #expect(answer.status == status)
                }
            }
        }
    }

    @Test(arguments: ["/oauth/token", "/v1/oauth/token"])
    func `POST answers 503 before its body has come, while all places are taken`(path: String) async throws {
        let store = StuckStore(blocksThreads: false)
        try await LiveBroker.run(store: store, exchangesUnderWay: 1) { broker in
            defer { store.release() }
            async let first = broker.exchange(broker.subjectToken())
            await store.untilCalled(1)
            refusal(try await broker.send(.POST, path, [Self.form], body: "grant_type=x"), 503)

            let connection = try await broker.connect()
            let head = await connection.answer(
                to: "POST \(path) HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n")
            #expect(head.hasPrefix("HTTP/1.1 503 "))
            try await connection.close()

            #expect(try await broker.send(.GET, "/verify").status == 401, "gateways are served")
            store.release()
            #expect(try await first.status == 503)
            #expect(try await broker.exchange(broker.subjectToken(["jti": "next"])).body.contains("cannot decide"))
            let metrics = try await broker.send(.GET, "\(broker.telemetry)/metrics").body
            #expect(metrics.contains("daypass_limit_refusals_total{limit=\"overload\"} 2\n"))
        }
    }

    @Test func `one address that fills its share leaves places to others`() async throws {
        let store = StuckStore(blocksThreads: false)
        try await LiveBroker.run(store: store, exchangesUnderWay: 4, trustedProxies: ["127.0.0.1"]) { broker in
            defer { store.release() }
            async let first = Self.exchange(broker, "1", from: "192.0.2.1")
            await store.untilCalled(1)
            refusal(try await Self.exchange(broker, "1", from: "192.0.2.1"), 503)
            async let other = Self.exchange(broker, "2", from: "198.51.100.1")
            await store.untilCalled(2)
            store.release()
            _ = try await (first, other)
        }
    }

    @Test func `a connection over its address's share is closed at once, and one that ends makes room`() async throws {
        try await LiveBroker.run(maximumConnections: 8) { broker in
            let one = try await broker.connect()
            let two = try await broker.connect()
            #expect(await one.ask().hasPrefix("HTTP/1.1 401"))
            #expect(await two.ask().hasPrefix("HTTP/1.1 401"))
            #expect(try await broker.connect().ask().isEmpty, "the third, of a share of two")
            try await one.close()
            var next = ""
            // Until the broker has seen the end of the first.
            for _ in 0..<10_000 where next.isEmpty { next = try await broker.connect().ask() }
            #expect(next.hasPrefix("HTTP/1.1 401"))
            #expect(await two.ask().hasPrefix("HTTP/1.1 401"), "the refused did not disturb it")
            try await two.close()
        }
    }

    @Test func `a trusted proxy may have more connections than a share`() async throws {
        try await LiveBroker.run(maximumConnections: 8, trustedProxies: ["127.0.0.0/8"]) { broker in
            var connections: [RawConnection] = []
            for _ in 0..<6 { connections.append(try await broker.connect()) }
            for connection in connections {
                #expect(await connection.ask().hasPrefix("HTTP/1.1 401"))
                try await connection.close()
            }
        }
    }
}
