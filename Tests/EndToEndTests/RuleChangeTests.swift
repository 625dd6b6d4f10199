import BrokerTesting
import Foundation
import JOSE
import Testing

/// The operator changes the rules and starts the daemon anew, over the same store, while tokens are out.
@Suite(.onOwnThreads) struct `A broker that is started again with other rules` {
    private static let access = ["subject_token_type": "urn:ietf:params:oauth:token-type:access_token"]

    struct Change: Sendable, CustomTestStringConvertible {
        let name: String
        let old: String
        let new: String
        let status: Int
        var scope: String?

        var testDescription: String { name }
    }

    static let changes = [
        Change(
            name: "nothing", old: "no such text", new: "", status: 200,
            scope: "anthropic:messages anthropic:count_tokens"),
        Change(name: "the rule is renamed", old: "name: ci-main", new: "name: ci", status: 400),
        Change(name: "the rule does not match any more", old: "ref: refs/heads/main", new: "ref: x", status: 400),
        Change(
            name: "the rule grants less", old: #", "anthropic:count_tokens""#, new: "", status: 200,
            scope: "anthropic:messages"),
        Change(
            name: "the rule grants other things", old: #""anthropic:messages", "anthropic:count_tokens""#,
            new: #""openai:responses""#, status: 400),
        Change(
            name: "the rule grants more", old: #""anthropic:messages","#,
            new: #""openai:responses", "anthropic:messages","#, status: 200,
            scope: "anthropic:messages anthropic:count_tokens"),
    ]

    @Test(arguments: changes)
    func `renews what it granted before only as far as the same rule grants it now`(change: Change) async throws {
        let workspace = try Workspace()
        let issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        let first = try await RunningBroker(
            workspace, issuersAndRules: RunningBroker.fileIssuer(issuer, in: workspace))
        let matching: JSONObject = ["repository_id": "123456", "ref": "refs/heads/main"]
        let granted = try await first.exchange(
            issuer.token(issuer.claims(subject: "job", at: Date()).merging(matching)))
        let token = try #require(granted.text("access_token"), "\(granted.body)")
        first.process.signal(SIGTERM)
        #expect(try await first.process.outcome().status == 0)

        let file = workspace.folder.appending(path: "daypass.yaml")
        let text = try String(contentsOf: file, encoding: .utf8)
        #expect(text.contains(change.old) == (change.name != "nothing"))
        try workspace.write("daypass.yaml", text.replacing(change.old, with: change.new))

        let second = try await RunningBroker(restarting: first)
        let renewed = try await second.exchange(token, Self.access)
        #expect(renewed.status == change.status, "\(renewed.body)")
        #expect(renewed.text("scope") == change.scope)
        if change.status == 200 {
            #expect(renewed.text("session_id") == granted.text("session_id"))
        } else {
            #expect(renewed.text("error") == "invalid_request")
        }
        // What is out stays good until it expires: gateways may verify it by themselves anyway.
        #expect(try await second.verify(token).status == 200)
    }
}
