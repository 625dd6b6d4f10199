import AsyncHTTPClient
import BrokerTesting
import Foundation
import JOSE
import NIOCore
import NIOHTTP1
import Synchronization
import Testing

@Suite(.onOwnThreads) struct `A revocation of a running broker` {
    private func broker(through wrapper: [String] = []) async throws -> (RunningBroker, TestIssuer) {
        let workspace = try Workspace()
        let issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        let rules = try RunningBroker.fileIssuer(issuer, in: workspace, replay: "off")
        return (try await RunningBroker(workspace, issuersAndRules: rules, through: wrapper), issuer)
    }

    private func proof(of issuer: TestIssuer) throws -> String {
        let claims = issuer.claims(subject: "job", at: Date())
        return try issuer.token(claims.merging(["repository_id": "123456", "ref": "refs/heads/main"]))
    }

    private func token(_ broker: RunningBroker, _ issuer: TestIssuer) async throws -> String {
        let answer = try await broker.exchange(proof(of: issuer))
        return try #require(answer.text("access_token"), "\(answer.body)")
    }

    /// `DAYPASS_KILLS` times; 5 by default.
    @Test(.timeLimit(.minutes(30)))
    func `that was acknowledged is never lost, however often the broker is killed under load`() async throws {
        let kills = ProcessInfo.processInfo.environment["DAYPASS_KILLS"].flatMap { Int($0) } ?? 5
        // Without this it asks again for as long as nobody listens, and then waits before it asks anybody.
        var configuration = HTTPClient.Configuration()
        configuration.connectionPool.retryConnectionEstablishment = false
        let client = HTTPClient(configuration: configuration)
        var (broker, issuer) = try await broker()
        var dead: [String] = []
        for round in 0..<kills {
            let (running, issuer) = (broker, issuer)
            let tokens = try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<16 { group.addTask { try await self.token(running, issuer) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            let answers = Answers(killingAt: 1 + round % 8) { running.process.signal(SIGKILL) }
            let acknowledged = await withTaskGroup(of: String?.self) { group in
                for token in tokens {
                    group.addTask {
                        // Whatever is under way when it is killed gets no answer.
                        var request = HTTPClientRequest(url: running.origin + "/oauth/revoke")
                        request.method = .POST
                        request.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
                        request.headers.add(name: "Connection", value: "close")
                        request.body = .bytes(ByteBuffer(string: RunningBroker.form([("token", token)])))
                        let answer = try? await client.execute(request, timeout: .seconds(20))
                        guard answer?.status == .ok else { return nil }
                        answers.count()
                        return token
                    }
                }
                return await group.reduce(into: [String]()) { if let token = $1 { $0.append(token) } }
            }
            _ = try await running.process.outcome()
            broker = try await RunningBroker(restarting: running)
            dead += acknowledged
            for token in dead.suffix(100) { #expect(try await broker.verify(token).status == 401) }
            let alive = try await token(broker, issuer)
            #expect(try await broker.verify(alive).status == 200)
        }
        try await client.shutdown()
        #expect(!dead.isEmpty, "some were acknowledged")
        for token in dead { #expect(try await broker.verify(token).status == 401) }
        broker.process.signal(SIGTERM)
        #expect(try await broker.process.outcome().status == 0)
    }
}

/// Counts answers, and does something at one of them.
private final class Answers: Sendable {
    private let number = Mutex(0)
    private let last: Int
    private let act: @Sendable () -> Void

    init(killingAt last: Int, _ act: @escaping @Sendable () -> Void) {
        (self.last, self.act) = (last, act)
    }

    func count() {
        let isLast = number.withLock { number in
            number += 1
            return number == last
        }
        if isLast { act() }
    }
}
