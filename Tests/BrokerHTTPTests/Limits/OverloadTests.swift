import Broker
@testable import BrokerHTTP
import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Synchronization
import Testing

/// What is refused while an event loop is late, and what is not.
@Suite(.onOwnThreads, .timeLimit(.minutes(2))) struct `An event loop that is late` {
    /// The clocks of the machine; that of intervals goes on by a step more each time that somebody looks.
    private final class SteppingClock: BrokerClock {
        private let system = SystemClock()
        private let state = Mutex((step: Duration.zero, passed: Duration.zero))

        var step: Duration {
            get { state.withLock { $0.step } }
            set { state.withLock { $0.step = newValue } }
        }
        var now: Date { system.now }
        var uptime: Duration {
            state.withLock { state in
                state.passed += state.step
                return system.uptime + state.passed
            }
        }
    }

    /// The second is refused where a step is longer than the machine ever stands still.
    private static let bounds = LoopBounds(delay: .seconds(100), always: 0)
    private static let step = Duration.seconds(200)
    private static let last = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

    private static func question(_ token: String) -> String {
        "GET /verify HTTP/1.1\r\nHost: a\r\nDaypass-Require-Scope: anthropic:messages\r\n"
            + "Authorization: Bearer \(token)\r\n\r\n"
    }

    private static func statuses(_ answers: String) -> [String] {
        answers.split(separator: "\r\n").filter { $0.hasPrefix("HTTP/1.1 ") }.map { String($0.dropFirst(9).prefix(3)) }
    }

    private func header(_ name: String, _ answer: String) -> String? {
        answer.split(separator: "\r\n").first { $0.lowercased().hasPrefix(name.lowercased() + ": ") }
            .map { String($0.dropFirst(name.count + 2)) }
    }

    private func metric(_ line: String, _ broker: LiveBroker) async throws -> String? {
        let metrics = try await broker.send(.GET, "\(broker.telemetry)/metrics").body
        return metrics.split(separator: "\n").first { $0.hasPrefix(line + " ") }
            .map { String($0.dropFirst(line.count + 1)) }
    }

    @Test(arguments: [FastPathLayers.all, .direct])
    func `GET /verify answers 503 to a token that is not remembered, and everything else as before`(
        _ layers: FastPathLayers
    ) async throws {
        let clock = SteppingClock()
        try await LiveBroker.run(loopBounds: Self.bounds, fastPath: layers, clock: clock) { broker in
            var tokens: [String] = []
            for number in 0..<3 {
                tokens.append(try await broker.gatewayToken(["jti": .string(ExactString("\(number)"))]))
            }
            let (known, first, unknown) = (tokens[0], tokens[1], tokens[2])
            var segments = TokenSegments(known)
            var signature = try Base64URL.decode(ExactString(segments.signature))
            signature[5] ^= 1
            segments.signature = Base64URL.encode(signature)
            let forged = "\(segments.header).\(segments.payload).\(segments.signature)"
            let before = Self.question(known) + Self.question(forged)
            #expect(Self.statuses(try await broker.connect().everything(after: before + Self.last)).first == "200")

            clock.step = Self.step
            let asked = [first, unknown, known, forged].map(Self.question).joined()
            let answers = try await broker.connect().everything(after: asked + Self.last)
            clock.step = .zero
            #expect(Self.statuses(answers) == ["200", "503", "200", "401", "200"], "\(answers)")
            let refused = try #require(answers.components(separatedBy: "\r\n\r\n").dropFirst().first)
            #expect(header("Retry-After", refused) == "1")
            #expect(header("Cache-Control", refused) == "no-store")
            #expect(header("WWW-Authenticate", refused) == nil && header("Daypass-Subject", refused) == nil)

            let text = try #require(header("Daypass-Trace-Id", refused))
            let trace = try #require(TraceID(parsing: text))
            let explained = broker.recent.refusals(of: trace)
            #expect(explained.map(\.reason) == ["overloaded"])
            #expect(explained.first?.words.hasPrefix("503: more was asked than could be answered in time") == true)
            #expect(explained.first?.subject == nil, "its signature was not looked at")
            #expect(try await metric(#"daypass_verdicts_total{outcome="overloaded"}"#, broker) == "1")
            // Nothing is held against it.
            let again = try await broker.connect().everything(after: Self.question(unknown) + Self.last)
            #expect(Self.statuses(again) == ["200", "200"])
        }
    }

    @Test(arguments: ["/oauth/token", "/v1/oauth/token"])
    func `POST to a token endpoint answers 503 before its body has come`(_ path: String) async throws {
        let clock = SteppingClock()
        try await LiveBroker.run(loopBounds: Self.bounds, clock: clock) { broker in
            let unknown = try await broker.gatewayToken()
            let connection = try await broker.connect()
            clock.step = Self.step
            let head = "POST \(path) HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
            var answers = await connection.answer(to: Self.question(unknown) + head)
            while Self.statuses(answers).count < 2 { answers += await connection.answer(to: "") }
            clock.step = .zero
            #expect(Self.statuses(answers) == ["200", "503"])
            let refused = try #require(answers.components(separatedBy: "HTTP/1.1 ").last)
            #expect(header("Retry-After", refused) == "1" && header("Cache-Control", refused) == "no-store")
            #expect(header("Content-Type", refused) == "application/json")
            let text = try #require(header("Daypass-Trace-Id", refused))
            #expect(header("request-id", refused) == (path.hasPrefix("/v1") ? text : nil))
            #expect(refused.contains(#""error":"temporarily_unavailable""#) && refused.contains("(trace \(text))"))
            let trace = try #require(TraceID(parsing: text))
            let explained = broker.recent.refusals(of: trace)
            #expect(explained.map(\.reason) == ["overload"] && explained.first?.words.hasPrefix("503: ") == true)
            #expect(try await broker.refusals(by: "overload") == 1)
            // Its body is taken and thrown away, and what follows is answered.
            #expect(Self.statuses(await connection.everything(after: "grant_typ" + Self.last)) == ["200"])
        }
    }

    @Test(arguments: [FastPathLayers.all, []])
    func `an exchange that has come wholly is looked at again, and a revocation is never refused`(
        _ layers: FastPathLayers
    ) async throws {
        let clock = SteppingClock()
        try await LiveBroker.run(loopBounds: Self.bounds, fastPath: layers, clock: clock) { broker in
            let token = try await broker.gatewayToken()
            func post(_ path: String, _ body: String) async throws -> String {
                let head =
                    "POST \(path) HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n"
                    + "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
                return try await broker.connect().everything(after: head + body)
            }
            var form = ""
            for (name, value) in LiveBroker.exchangeParameters(try broker.subjectToken(["jti": "next"])) {
                form += "\(form.isEmpty ? "" : "&")\(name)=\(value.replacing(":", with: "%3A"))"
            }
            clock.step = Self.step
            let refused = try await post("/oauth/token", form)
            #expect(Self.statuses(refused) == ["503"] && header("Retry-After", refused) == "1", "\(refused)")
            for path in ["/healthz", "/oauth/jwks", "/.well-known/oauth-authorization-server"] {
                #expect(try await broker.send(.GET, path).status == 200)
            }
            #expect(Self.statuses(try await post("/oauth/revoke", "token=\(token)")) == ["200"])
            clock.step = .zero
            #expect(Self.statuses(try await post("/oauth/token", form)) == ["200"])
            #expect(try await broker.refusals(by: "overload") == 1)
            let revoked = try await broker.connect().everything(after: Self.question(token) + Self.last)
            #expect(Self.statuses(revoked) == ["401", "200"])
        }
    }

    @Test func `a revocation has a place where exchanges have taken all of theirs`() async throws {
        let store = StuckStore(blocksThreads: false)
        try await LiveBroker.run(store: store, exchangesUnderWay: 1) { broker in
            defer { store.release() }
            async let first = broker.exchange(broker.subjectToken())
            await store.untilCalled(1)
            let form = [("Content-Type", "application/x-www-form-urlencoded")]
            #expect(try await broker.send(.POST, "/oauth/token", form, body: "grant_type=x").status == 503)
            #expect(try await broker.send(.POST, "/oauth/revoke", form, body: "token=x").status == 200)
            store.release()
            _ = try await first
        }
    }
}
