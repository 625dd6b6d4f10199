import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite(.onOwnThreads) struct `A running broker and one token again` {
    /// All answers to `count` presentations of an ES256 token at once, every other one of which shows its twin: the same
    /// with the other signature that anybody can make of the first.
    private func present(
        _ token: String, times count: Int, to broker: RunningBroker
    ) async throws -> [RunningBroker.Answer] {
        var twin = TokenSegments(token)
        twin.signatureBytes = P256Order.twin(of: twin.signatureBytes)
        let tokens = [token, twin.token]
        #expect(Set(tokens).count == 2)
        return try await withThrowingTaskGroup(of: RunningBroker.Answer.self) { group in
            for number in 0..<count { group.addTask { try await broker.exchange(tokens[number % 2]) } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
    }

    @Test(arguments: [("off", 50, 50), ("once", 1, 1), ("window", 32, 1)])
    func `fifty at once are as many tokens as the mode allows, in as many sessions`(
        mode: String, tokens: Int, sessions: Int
    ) async throws {
        let workspace = try Workspace()
        let issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        let broker = try await RunningBroker(
            workspace, issuersAndRules: RunningBroker.fileIssuer(issuer, in: workspace, replay: mode))
        let matching: JSONObject = ["repository_id": "123456", "ref": "refs/heads/main"]
        let token = try issuer.token(issuer.claims(subject: "job", at: Date()).merging(matching))
        let answers = try await present(token, times: 50, to: broker)
        let granted = answers.filter { $0.status == 200 }
        #expect(granted.count == tokens)
        #expect(answers.count { $0.status == 400 && $0.text("error") == "invalid_request" } == 50 - tokens)
        #expect(Set(granted.compactMap { $0.text("access_token") }).count == tokens)
        #expect(Set(granted.compactMap { $0.text("session_id") }).count == sessions)
    }

    @Test func `fifty at once are 32 tokens of one session, and a restart changes nothing about that`() async throws {
        let workspace = try Workspace()
        let issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        let rules = try RunningBroker.fileIssuer(issuer, in: workspace)
        let first = try await RunningBroker(workspace, issuersAndRules: rules)
        let matching: JSONObject = ["repository_id": "123456", "ref": "refs/heads/main"]
        let token = try issuer.token(issuer.claims(subject: "job", at: Date()).merging(matching))

        let answers = try await present(token, times: 50, to: first)
        let granted = answers.filter { $0.status == 200 }
        #expect(granted.count == 32)
        #expect(answers.count { $0.status == 400 } == 18)
        #expect(Set(granted.map { $0.text("session_id") }).count == 1)
        let tokens = Set(granted.compactMap { $0.text("access_token") })
        #expect(tokens.count == 32)
        for refused in answers where refused.status != 200 { #expect(refused.text("error") == "invalid_request") }
        for token in tokens { #expect(try await first.verify(token).status == 200) }

        first.process.signal(SIGKILL)
        _ = try await first.process.outcome()
        let second = try await RunningBroker(restarting: first)
        let again = try await second.exchange(token)
        #expect(again.status == 400, "\(again.body)")
        #expect(again.text("error") == "invalid_request")

        // The session went through the restart too: it is renewed and narrowed.
        let any = try #require(tokens.first)
        let access = ["subject_token_type": "urn:ietf:params:oauth:token-type:access_token"]
        let renewed = try await second.exchange(any, access)
        #expect(renewed.status == 200, "\(renewed.body)")
        #expect(renewed.text("session_id") == granted.first?.text("session_id"))
        let child = try await second.exchange(any, access.merging(["scope": "anthropic:messages"]) { $1 })
        #expect(child.text("scope") == "anthropic:messages")
        #expect(child.text("session_id") != renewed.text("session_id"))
        #expect(try await second.verify(child.text("access_token") ?? "").status == 200)
        second.process.signal(SIGTERM)
        #expect(try await second.process.outcome().status == 0)
    }
}
