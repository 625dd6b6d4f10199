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
    private static let organization = "3e8f0a52-6b0f-4f0e-9a51-5b1c7d3a9e10"

    private struct Stage {
        let broker: RunningBroker
        let issuer: TestIssuer
        let gateway: RunningProcess
        let origin: String

        /// What the gateway received, in order.
        func requests() throws -> [JSONObject] {
            try gateway.output.split(separator: "\n").map { try JSONReader.readObject(Array($0.utf8)) }
        }
    }

    private func stage() async throws -> Stage {
        let workspace = try Workspace()
        let issuer = try TestIssuer()
        let configuration =
            try RunningBroker.fileIssuer(issuer, in: workspace) + """
                  - name: sdk
                    issuer: github
                    match: {repository_id: "123456", ref: refs/heads/main}
                    federation: {organization_id: \(Self.organization), service_account_id: svac_01}
                    grant: {scope: ["anthropic:messages"], ttl: 15m}

                """
        let broker = try await RunningBroker(workspace, issuersAndRules: configuration)
        let port = try Workspace.freePort()
        let script = Programs.repository.appending(path: "Tests/Peers/anthropic-gateway.py")
        let gateway = try RunningProcess(
            try #require(Programs.anthropicPython), [script.path(percentEncoded: false), "\(port)", broker.origin])
        let origin = "http://127.0.0.1:\(port)"
        try await waitUntil("the gateway listens") {
            try #require(gateway.isRunning, "\(gateway.error)")
            return (try? await broker.send(.GET, origin)) != nil
        }
        return Stage(broker: broker, issuer: issuer, gateway: gateway, origin: origin)
    }

    /// Runs the client with nothing in its environment but what federation needs.
    private func ping(_ stage: Stage, ref: String = "refs/heads/main", account: String = "svac_01") async throws
        -> JSONObject
    {
        let claims = stage.issuer.claims(at: Date()).merging(["repository_id": "123456"])
        let token = try stage.issuer.token(claims.merging(["ref": .string(ExactString(ref))]))
        try stage.broker.workspace.write("identity-token", token)
        let script = Programs.repository.appending(path: "Tests/Peers/anthropic-client.py")
        let outcome = try await RunningProcess(
            try #require(Programs.anthropicPython), [script.path(percentEncoded: false)],
            environment: [
                "HOME": stage.broker.workspace.folder.path(percentEncoded: false), "ANTHROPIC_BASE_URL": stage.origin,
                "ANTHROPIC_FEDERATION_RULE_ID": "sdk", "ANTHROPIC_ORGANIZATION_ID": Self.organization,
                "ANTHROPIC_SERVICE_ACCOUNT_ID": account,
                "ANTHROPIC_IDENTITY_TOKEN_FILE": stage.broker.workspace.path("identity-token"),
            ]
        ).outcome()
        try #require(outcome.status == 0, "\(outcome.error)")
        return try JSONReader.readObject(Array(outcome.output.utf8))
    }

    @Test func `federates from its variables alone, and sends our gateway token as its bearer`() async throws {
        let stage = try await stage()
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
        let stage = try await stage()
        let shown = try await ping(stage, ref: ref, account: account)
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
}
