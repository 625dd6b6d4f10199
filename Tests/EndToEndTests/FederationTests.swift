import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

/// Anthropic's own SDK federating with the broker: it is told a base URL and the ids, and nothing of Daypass.
@Suite(
    .onOwnThreads,
    .enabled(if: Programs.anthropicPython != nil, "the anthropic SDK is not installed: Tests/Peers/install"))
struct `Anthropic's SDK` {
    /// Runs the client with nothing in its environment but these variables, those of federation where it is nil.
    private func ping(_ stage: AnthropicStage, _ variables: [String: String]? = nil, _ arguments: String...)
        async throws
        -> JSONObject
    {
        let script = Programs.repository.appending(path: "Tests/Peers/anthropic-client.py")
        let home = ["HOME": stage.workspace.folder.path(percentEncoded: false)]
        let outcome = try await RunningProcess(
            try #require(Programs.anthropicPython), [script.path(percentEncoded: false)] + arguments,
            environment: home.merging(variables ?? stage.federation()) { $1 }
        ).outcome()
        try #require(outcome.status == 0, "\(outcome.error)")
        return try JSONReader.readObject(Array(outcome.output.utf8))
    }

    @Test func `federates from its variables alone, and sends our gateway token as its bearer`() async throws {
        let stage = try await AnthropicStage()
        try stage.writeIdentityToken()
        #expect(try await ping(stage) == ["text": "pong"])
        let requests = try stage.requests()
        #expect(requests.map { $0["path"] } == ["/v1/oauth/token", "/v1/messages"])
        let call = try #require(requests.first?["headers"]?.object)
        #expect(call["content-type"] == "application/json")
        #expect(call["anthropic-beta"]?.string?.string.contains("oidc-federation-") == true)
        let headers = try #require(requests.last?["headers"]?.object)
        #expect(headers["x-api-key"] == nil)
        let bearer = try #require(headers["authorization"]?.string?.string)
        try #require(bearer.hasPrefix("Bearer "))
        let allowed = try await stage.broker.verify(String(bearer.dropFirst(7)))
        #expect(allowed.status == 200)
        #expect(allowed.headers.first(name: "Daypass-Rule") == "sdk")
        #expect(allowed.headers.first(name: "Daypass-Scope") == "anthropic:messages")
    }

    @Test(arguments: [("refs/heads/feature", "svac_01"), ("refs/heads/main", "svac_02")])
    func `shows a refusal with its words and a request id that finds the record`(ref: String, account: String)
        async throws
    {
        let stage = try await AnthropicStage()
        try stage.writeIdentityToken(ref: ref)
        let shown = try await ping(stage, stage.federation(account: account))
        #expect(shown["status"]?.number == 401)
        let body = try #require(shown["body"]?.object)
        #expect(body["error"] == "invalid_grant")
        let trace = try #require(shown["request_id"]?.string?.string)
        #expect(body["error_description"]?.string?.string.contains(trace) == true)
        try await waitUntil("the refusal is logged") {
            stage.broker.process.error.contains(trace) && stage.broker.process.error.contains(#""reason":"no_rule""#)
        }
        // On 401 it reads the identity token again and tries a second time; no message goes out without credentials.
        #expect(try stage.requests().map { $0["path"] } == ["/v1/oauth/token", "/v1/oauth/token"])
    }

    @Test func `federates from the profile of config/anthropic, without a variable of federation`() async throws {
        let stage = try await AnthropicStage()
        try stage.writeIdentityToken()
        #expect(try await ping(stage, stage.installProfile()) == ["text": "pong"])
        #expect(try stage.answers() == ["/v1/oauth/token 200", "/v1/messages 200"])
    }

    @Test func `keeps a token of 15 minutes, and renews one of 100 seconds before it ends`() async throws {
        let long = try await AnthropicStage()
        try long.writeIdentityToken()
        #expect(try await ping(long, nil, "2") == ["text": "pong"])
        #expect(try long.answers() == ["/v1/oauth/token 200", "/v1/messages 200", "/v1/messages 200"])

        let short = try await AnthropicStage(ttl: "100s")
        try short.writeIdentityToken()
        #expect(try await ping(short, nil, "2") == ["text": "pong"])
        let both = ["/v1/oauth/token 200", "/v1/messages 200"]
        #expect(try short.answers() == both + both)
        let bearers = try short.bearers()
        #expect(bearers.count == 2 && bearers.first != bearers.last)
    }

    @Test func `goes on with its token while a renewal fails`() async throws {
        let stage = try await AnthropicStage(ttl: "100s")
        try stage.writeIdentityToken()
        #expect(try await ping(stage, nil, "2", stage.identityToken) == ["text": "pong"])
        #expect(try stage.answers() == ["/v1/oauth/token 200", "/v1/messages 200", "/v1/messages 200"])
    }
}
