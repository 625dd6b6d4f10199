import Broker
import BrokerHTTP
import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Synchronization
import NIOPosix
import Testing

@Suite(.onOwnThreads) struct `The telemetry listener` {
    private static let outage = Outage(since: Date(timeIntervalSince1970: 1_800_000_000), cause: "the disk is full")

    @Test func `GET /readyz answers 200 and names each issuer while all is well`() async throws {
        try await LiveBroker.run { broker in
            let answer = try await broker.send(.GET, "\(broker.telemetry)/readyz")
            #expect(answer.status == 200)
            #expect(answer.json["ready"] == true)
            #expect(answer.json["since"] == nil)
            #expect(answer.json["issuers"]?.object?["ci"]?.object?["ready"] == true)
        }
    }

    @Test func `GET /readyz answers 503, the cause and since when, while the store does not record`() async throws {
        try await LiveBroker.run(storeOutage: { Self.outage }) { broker in
            let answer = try await broker.send(.GET, "\(broker.telemetry)/readyz")
            #expect(answer.status == 503)
            #expect(answer.json["since"] == "2027-01-15T08:00:00Z")
            #expect(answer.json["store"]?.object?["error"] == "the disk is full")
            #expect(answer.json["store"]?.object?["since"] == "2027-01-15T08:00:00Z")
            #expect(try await broker.send(.GET, "\(broker.telemetry)/healthz").status == 200)
        }
    }

    @Test func `GET /metrics answers 200 in the text format`() async throws {
        try await LiveBroker.run { broker in
            let answer = try await broker.send(.GET, "\(broker.telemetry)/metrics")
            #expect(answer.status == 200)
            #expect(answer.headers.first(name: "Content-Type") == "text/plain; version=0.0.4; charset=utf-8")
            #expect(answer.headers.first(name: "Cache-Control") == "no-store")
            #expect(answer.body.hasSuffix("\n"))
            #expect(answer.body.contains("\ndaypass_issuer_keys_usable{issuer=\"ci\"} 1\n"))
            #expect(answer.body.contains("\ndaypass_exchanges_granted_total{issuer=\"ci\",rule=\"ci\"} 0\n"))
        }
    }

    @Test func `HEAD of /metrics has no body, and POST answers 405`() async throws {
        try await LiveBroker.run { broker in
            let head = try await broker.send(.HEAD, "\(broker.telemetry)/metrics")
            #expect(head.status == 200)
            #expect(head.body == "")
            let post = try await broker.send(.POST, "\(broker.telemetry)/metrics")
            #expect(post.status == 405)
            #expect(post.headers.first(name: "Allow") == "GET, HEAD")
        }
    }

    @Test func `answers nothing that belongs to the public listener`() async throws {
        try await LiveBroker.run { broker in
            let exchange = try await broker.send(.POST, "\(broker.telemetry)/oauth/token")
            #expect(exchange.status == 404)
            let verify = try await broker.send(.GET, "\(broker.telemetry)/verify")
            #expect(verify.status == 404)
            let metrics = try await broker.send(.GET, "/metrics")
            #expect(metrics.status == 404, "nor the other way round")
        }
    }

    @Test func `answers and verdicts are counted by route, status and outcome`() async throws {
        try await LiveBroker.run { broker in
            let token = try await broker.gatewayToken()
            let bearer = [("Authorization", "Bearer \(token)")]
            #expect(try await broker.send(.GET, "/verify?scope=anthropic:messages", bearer).status == 200)
            #expect(try await broker.send(.GET, "/verify?scope=openai:responses", bearer).status == 403)
            #expect(try await broker.send(.GET, "/verify/v1/messages").status == 401)
            for made in 0..<20 { _ = try await broker.send(.GET, "/made/up/\(made)") }
            let metrics = try await broker.send(.GET, "\(broker.telemetry)/metrics").body.split(separator: "\n")
            for line in [
                #"daypass_http_responses_total{route="token",status="success"} 1"#,
                #"daypass_http_responses_total{route="verify",status="success"} 1"#,
                #"daypass_http_responses_total{route="verify",status="client_error"} 2"#,
                #"daypass_http_responses_total{route="other",status="client_error"} 20"#,
                #"daypass_http_responses_total{route="token",status="server_error"} 0"#,
                #"daypass_verdicts_total{outcome="allowed"} 1"#,
                #"daypass_verdicts_total{outcome="insufficient_scope"} 1"#,
                #"daypass_verdicts_total{outcome="missing"} 1"#,
            ] {
                #expect(metrics.contains(Substring(line)), "\(line)")
            }
            #expect(!metrics.contains { $0.contains("made") })
        }
    }

    @Test func `a scrape is answered while every exchange waits for the store and readiness does too`() async throws {
        let store = StuckStore(blocksThreads: false)
        let (asked, asks) = AsyncStream<CheckedContinuation<Void, Never>>.makeStream()
        let storeOutage: @Sendable () async -> Outage? = {
            await withCheckedContinuation { _ = asks.yield($0) }
            return nil
        }
        try await LiveBroker.run(store: store, maximumConnections: 32, storeOutage: storeOutage) { broker in
            try await withThrowingTaskGroup(of: Int.self) { group in
                for token in try broker.subjectTokens(8) {
                    group.addTask { try await broker.exchange(token).status }
                }
                await store.untilCalled(8)
                defer { store.release() }
                let readiness = Task(executorPreference: OwnThreads.shared) {
                    try await broker.send(.GET, "\(broker.telemetry)/readyz").status
                }
                var questions = asked.makeAsyncIterator()
                let question = await questions.next()

                let scrape = try await broker.send(.GET, "\(broker.telemetry)/metrics")
                #expect(scrape.body.contains("\ndaypass_connections_open 8\n"))
                #expect(scrape.body.contains("\ndaypass_connections_limit 32\n"))

                store.release()
                question?.resume()
                #expect(try await readiness.value == 200)
                for try await status in group { #expect(status == 503) }
            }
        }
    }

    @Test func `a scrape is answered while the event loops of the public listener are busy`() async throws {
        let store = StuckStore(blocksThreads: true)
        // Not the process's loops, which this test's own HTTP client needs.
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        try await LiveBroker.run(store: store, eventLoops: loops) { broker in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for token in try broker.subjectTokens(8) {
                    group.addTask { _ = try? await broker.exchange(token) }
                }
                await store.untilCalled(1)
                defer { store.release() }
                // Connections are dealt to event loops in turn: one of these would wait if they were the same.
                for _ in 0..<20 {
                    let scrape = try await broker.send(
                        .GET, "\(broker.telemetry)/metrics", [("Connection", "close")])
                    #expect(scrape.status == 200)
                }
            }
        }
    }
}

extension LiveBroker {
    /// So many different ones, as many as the client opens connections at once.
    fileprivate func subjectTokens(_ count: Int) throws -> [String] {
        try (0..<count).map { try subjectToken(["jti": .string(ExactString("\($0)"))]) }
    }
}

/// A store that answers nobody before it is released, and then fails.
final class StuckStore: ExchangeStore {
    private struct State {
        var calls = 0
        var isReleased = false
        var waiting: [CheckedContinuation<Void, Never>] = []
        var awaiting: [(Int, CheckedContinuation<Void, Never>)] = []
    }

    private let blocksThreads: Bool
    private let gate = NSCondition()
    private let state = Mutex(State())

    init(blocksThreads: Bool) {
        self.blocksThreads = blocksThreads
    }

    func untilCalled(_ calls: Int) async {
        await withCheckedContinuation { continuation in
            let isDone = state.withLock { state in
                if state.calls < calls { state.awaiting.append((calls, continuation)) }
                return state.calls >= calls
            }
            if isDone { continuation.resume() }
        }
    }

    func release() {
        let waiting = state.withLock { state in
            state.isReleased = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
        gate.withLock { gate.broadcast() }
    }

    func record(_ session: SessionRecord, _ event: AuditEvent) async throws(StoreFailure) -> UseOutcome {
        try await stick()
        return .recorded
    }

    func record(_ event: AuditEvent, renewing session: SessionRecord) async throws(StoreFailure) -> UseOutcome {
        try await stick()
        return .recorded
    }

    func record(_ event: AuditEvent) async throws(StoreFailure) { try await stick() }

    func record(
        _ session: SessionRecord, _ event: AuditEvent, using use: SubjectTokenUse
    ) async throws(StoreFailure) -> UseOutcome {
        try await stick()
        return .recorded
    }

    func session(_ id: ExactString) async throws(StoreFailure) -> SessionRecord? { nil }
    func isSignIn(_ id: ExactString) async throws(StoreFailure) -> Bool { false }

    private func stick() async throws(StoreFailure) {
        let reached = state.withLock { state in
            state.calls += 1
            let reached = state.awaiting.filter { $0.0 <= state.calls }
            state.awaiting.removeAll { $0.0 <= state.calls }
            return reached
        }
        for (_, continuation) in reached { continuation.resume() }
        if blocksThreads { block() } else { await wait() }
        throw StoreFailure(.unavailable, "record", cause: "stuck")
    }

    private func block() {
        gate.withLock {
            while !state.withLock(\.isReleased) { gate.wait() }
        }
    }

    private func wait() async {
        await withCheckedContinuation { continuation in
            let isReleased = state.withLock { state in
                if !state.isReleased { state.waiting.append(continuation) }
                return state.isReleased
            }
            if isReleased { continuation.resume() }
        }
    }
}
