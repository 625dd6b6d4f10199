import Broker
import BrokerHTTP
import BrokerTesting
import Foundation
import JOSE
import NIOCore
import NIOHTTP1
import Testing

/// What the limits of a connection refuse, over a real socket: answered where HTTP still allows it, closed, and counted.
@Suite(.onOwnThreads, .timeLimit(.minutes(2))) struct `A connection over a limit` {
    private static let limits = [
        "address_rate", "address_connections", "connections", "headers", "body", "slow_request", "slow_response",
        "overload",
    ]

    /// That this limit was counted so often, and no other.
    private func expect(_ limit: String, _ count: Int = 1, in broker: LiveBroker) async throws {
        for other in Self.limits {
            let counted = try await broker.refusals(by: other)
            #expect(counted == (other == limit ? count : 0), "\(other)")
        }
    }

    private func bounds(_ change: (inout ConnectionBounds) -> Void) -> ConnectionBounds {
        var bounds = ConnectionBounds()
        change(&bounds)
        return bounds
    }

    /// The answer's head in lines, with its trace id checked and taken out.
    private func head(_ answer: String) throws -> [String] {
        let lines = try #require(answer.components(separatedBy: "\r\n\r\n").first).components(separatedBy: "\r\n")
        let trace = try #require(lines.first { $0.hasPrefix("Daypass-Trace-Id: ") }, "\(answer)")
        #expect(trace.utf8.count == "Daypass-Trace-Id: ".utf8.count + 32)
        return lines.filter { $0 != trace }.sorted()
    }

    @Test(arguments: [
        [("x-long", String(repeating: "a", count: 25 * 1024))],
        (0..<4).map { ("x-\($0)", String(repeating: "a", count: 20 * 1024)) },
        (0..<129).map { ("x-\($0)", "a") },
    ])
    func `answers 431 to a header that is too long, to all of them together, and to too many`(
        _ headers: [(String, String)]
    ) async throws {
        try await LiveBroker.run { broker in
            let text = headers.map { "\($0): \($1)\r\n" }.joined()
            let answer = try await broker.connect().everything(
                after: "GET /verify HTTP/1.1\r\nHost: a\r\n\r\nPOST /oauth/token HTTP/1.1\r\n\(text)\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 401 "), "the request before it has its answer")
            let second = try #require(answer.range(of: "HTTP/1.1 431 "), "\(answer)").lowerBound
            #expect(
                try head(String(answer[second...])) == [
                    "Connection: close", "Content-Length: 0", "HTTP/1.1 431 Request Header Fields Too Large",
                ])
            try await expect("headers", in: broker)
        }
    }

    @Test func `answers 400 and counts nothing when what comes is not HTTP`() async throws {
        try await LiveBroker.run { broker in
            let answer = try await broker.connect().everything(after: "\u{16}\u{3}\u{1} not HTTP\r\n\r\n")
            #expect(try head(answer).contains("HTTP/1.1 400 Bad Request"))
            try await expect("none of them", in: broker)
        }
    }

    @Test func `answers 408 to a head that begins and does not end`() async throws {
        try await LiveBroker.run(connectionBounds: bounds { $0.firstHead = .milliseconds(50) }) { broker in
            var answer = ""
            // Until one began before its time was over.
            for _ in 0..<200 where answer.isEmpty {
                answer = try await broker.connect().everything(after: "GET /verify HTTP/1.1\r\nHost: a\r\nX")
            }
            #expect(
                try head(answer) == ["Connection: close", "Content-Length: 0", "HTTP/1.1 408 Request Timeout"])
            try await expect("slow_request", in: broker)
        }
    }

    @Test func `closes without a word, and counts nothing, where no request was begun`() async throws {
        try await LiveBroker.run(connectionBounds: bounds { $0.firstHead = .milliseconds(50) }) { broker in
            #expect(try await broker.connect().everything(after: "").isEmpty)
            try await expect("none of them", in: broker)
        }
        try await LiveBroker.run(connectionBounds: bounds { $0.idle = .milliseconds(50) }) { broker in
            let idle = try await broker.connect().everything(after: "GET /verify HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(idle.hasPrefix("HTTP/1.1 401 "))
            #expect(!idle.contains("HTTP/1.1 408"))
            try await expect("none of them", in: broker)
        }
    }

    @Test(arguments: [
        ("/oauth/token", "application/x-www-form-urlencoded"), ("/v1/oauth/token", "application/json"),
    ])
    func `answers 408 in the protocol's words to a body that does not come`(path: String, type: String) async throws {
        try await LiveBroker.run(connectionBounds: bounds { $0.body = .milliseconds(50) }) { broker in
            let answer = try await broker.connect().everything(
                after: "POST \(path) HTTP/1.1\r\nHost: a\r\nContent-Type: \(type)\r\nContent-Length: 9\r\n\r\n12345678")
            #expect(answer.hasPrefix("HTTP/1.1 408 "), "\(answer)")
            #expect(answer.contains("Connection: close\r\n"))
            #expect(answer.contains(#"{"error":"invalid_request","error_description":"the body did not come in time"#))
            try await expect("slow_request", in: broker)
        }
    }

    @Test func `closes where a body that nobody waits for does not come`() async throws {
        try await LiveBroker.run(connectionBounds: bounds { $0.body = .milliseconds(50) }) { broker in
            let answer = try await broker.connect().everything(
                after: "POST /verify HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1")
            #expect(answer.hasPrefix("HTTP/1.1 401 "), "\(answer)")
            try await expect("slow_request", in: broker)
        }
    }

    @Test func `answers 503 with Retry-After to a request whose answer takes too long`() async throws {
        let store = StuckStore(blocksThreads: false)
        try await LiveBroker.run(store: store, connectionBounds: bounds { $0.response = .milliseconds(50) }) { broker in
            defer { store.release() }
            let form = LiveBroker.form(LiveBroker.exchangeParameters(try broker.subjectToken()))
            let answer = try await broker.connect().everything(
                after: "POST /oauth/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                    + "Content-Length: \(form.utf8.count)\r\n\r\n\(form)")
            #expect(
                try head(answer) == [
                    "Connection: close", "Content-Length: 0", "HTTP/1.1 503 Service Unavailable", "Retry-After: 1",
                ])
            try await expect("slow_response", in: broker)
        }
    }

    @Test func `is closed when it does not take its answers`() async throws {
        let bounds = bounds { $0.response = .milliseconds(50) }
        try await LiveBroker.run(connectionBounds: bounds) { broker in
            let deaf = try await broker.connect(reads: false)
            // More answers than all buffers on the way hold.
            deaf.write(String(repeating: "GET /oauth/jwks HTTP/1.1\r\nHost: a\r\n\r\n", count: 100_000))
            var count = 0
            for _ in 0..<100_000 where count == 0 { count = try await broker.refusals(by: "slow_response") }
            try await expect("slow_response", in: broker)
            try? await deaf.close()
        }
    }

    @Test(arguments: [
        ("/oauth/token", "application/x-www-form-urlencoded"), ("/v1/oauth/token", "application/json"),
    ])
    func `answers 400 to a body that is too long, before all of it has come`(path: String, type: String) async throws {
        try await LiveBroker.run { broker in
            let answer = try await broker.connect().everything(
                after: "POST \(path) HTTP/1.1\r\nHost: a\r\nContent-Type: \(type)\r\nContent-Length: 1000000\r\n\r\n"
                    + String(repeating: "a", count: FormBody.maximumLength + 1))
            #expect(answer.hasPrefix("HTTP/1.1 400 "), "\(answer)")
            #expect(answer.contains("Connection: close\r\n"))
            #expect(answer.contains("the body is longer than 131072 bytes"))
            try await expect("body", in: broker)
        }
    }

    @Test func `lets a client that sends all of a long body read why it was refused`() async throws {
        try await LiveBroker.run { broker in
            let form = ("Content-Type", "application/x-www-form-urlencoded")
            let body = String(repeating: "a", count: 900_000)
            let answer = try await broker.send(.POST, "/oauth/token", [form], body: body)
            #expect(answer.status == 400)
            #expect(answer.text("error") == "invalid_request")
        }
    }

    @Test func `is closed when a body that nobody reads goes on for more than a mebibyte`() async throws {
        try await LiveBroker.run { broker in
            let answer = try await broker.connect().everything(
                after: "GET /verify HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n"
                    + String(repeating: "a", count: 1_100_000))
            #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 401 "), "\(answer)")
            try await expect("body", in: broker)
        }
    }

    @Test func `waits when all connections are taken, which is counted once, and is served when one ends`() async throws
    {
        try await LiveBroker.run(maximumConnections: 2, trustedProxies: ["127.0.0.1"]) { broker in
            let (one, two) = (try await broker.connect(), try await broker.connect())
            #expect(await one.ask().hasPrefix("HTTP/1.1 401 "))
            #expect(await two.ask().hasPrefix("HTTP/1.1 401 "))
            try await expect("connections", in: broker)
            let third = try await broker.connect()
            third.write("GET /verify HTTP/1.1\r\nHost: a\r\n\r\n")
            try await one.close()
            #expect(await third.answer(to: "").hasPrefix("HTTP/1.1 401 "))
            try await expect("connections", 2, in: broker)
            for connection in [two, third] { try await connection.close() }
        }
    }
}
