import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

/// A gateway's connection to `/verify`, kept open across requests, with the real program and curl.
@Suite(.onOwnThreads, .timeLimit(.minutes(3)), .enabled(if: Programs.curl != nil, "curl is not installed"))
struct `A gateway's connection that stays open` {
    /// Status, connections made and subject of each request.
    private func ask(_ broker: RunningBroker, _ requests: [[String]]) async throws -> [String] {
        let format = "%{http_code} %{num_connects} %header{daypass-rule}\\n"
        var arguments = ["-sS"]
        for (index, request) in requests.enumerated() {
            if index > 0 { arguments.append("--next") }
            arguments += ["-sS", "-o", "/dev/null", "-w", format, "--max-time", "30"] + request
        }
        let outcome = try await RunningProcess(try #require(Programs.curl), arguments).outcome()
        #expect(outcome.status == 0, "\(outcome.error)")
        return outcome.output.split(separator: "\n").map { String($0).trimmingCharacters(in: .whitespaces) }
    }

    @Test func `is answered in front of the decoder, behind it and by the router, and knows a revocation at once`()
        async throws
    {
        let workspace = try Workspace()
        let issuer = try TestIssuer("https://issuer.example.com")
        let rules = try RunningBroker.fileIssuer(issuer, in: workspace)
        let broker = try await RunningBroker(workspace, issuersAndRules: rules)
        let claims = issuer.claims(subject: "repo:acme/app:ref:refs/heads/main", at: Date())
        let subject = try issuer.token(claims.merging(["repository_id": "123456", "ref": "refs/heads/main"]))
        let token = try #require(try await broker.exchange(subject).text("access_token"))
        let bearer = "Authorization: Bearer \(token)"
        let scope = "Daypass-Require-Scope: anthropic:messages"
        let verify = ["-H", bearer, "-H", scope, "\(broker.origin)/verify"]
        let answers = try await ask(
            broker,
            [
                verify, verify,
                [
                    "-X", "POST", "-H", "Content-Length: 0", "-H", bearer, "-H", scope,
                    "\(broker.origin)/verify/v1/a?b=c",
                ],
                ["-H", bearer, "\(broker.origin)/verify?scope=openai:x"],
                ["-H", "x-api-key: \(token)x", "-H", scope, "\(broker.origin)/verify"],
                // From here on the connection is the decoder's.
                ["-H", "TE: trailers", "-H", bearer, "-H", scope, "\(broker.origin)/verify"],
                ["-d", "body", "-H", bearer, "-H", scope, "\(broker.origin)/verify"],
                ["\(broker.origin)/.well-known/oauth-authorization-server"], verify,
                ["-d", "token=\(token)", "\(broker.origin)/oauth/revoke"], verify,
            ])
        let rule = try #require(answers.first?.split(separator: " ").last)
        #expect(
            answers == [
                "200 1 \(rule)", "200 0 \(rule)", "200 0 \(rule)", "403 0", "401 0", "200 0 \(rule)", "200 0 \(rule)",
                "200 0", "200 0 \(rule)", "200 0", "401 0",
            ])
        broker.process.signal(SIGTERM)
        #expect(try await broker.process.outcome().status == 0)
    }
}
