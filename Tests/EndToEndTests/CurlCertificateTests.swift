import BrokerTesting
import Foundation
import JOSE
import Testing

/// curl with the certificates of `certs/make-development`.
@Suite(
    .onOwnThreads, .timeLimit(.minutes(5)),
    .enabled(if: Programs.curl != nil && Programs.openssl != nil, "curl or openssl is not installed"))
struct `A workload with an X509-SVID and curl` {
    private static let both = "anthropic:messages anthropic:count_tokens"
    private static let clientCredentials = ["-d", "grant_type=client_credentials"]

    private struct Answer {
        let status: Int
        let head: String
        let json: JSONObject

        func text(_ name: ExactString) -> String? { json[name]?.string?.string }
    }

    /// Two workloads of one trust domain, of which a rule knows one, and an issuer of JWTs.
    private func start(_ workspace: Workspace, _ issuer: TestIssuer) async throws -> SecureBroker {
        try await Certificates.develop(workspace, "certificates")
        try await Certificates.develop(workspace, "unknown", "dev.example.org", "/unknown")
        let roots = try ["certificates", "unknown"].map {
            try String(contentsOfFile: workspace.path("\($0)/bundle.pem"), encoding: .utf8)
        }
        try workspace.write("bundle.pem", roots.joined())
        try workspace.write("issuer.json", issuer.jwks)
        return try await SecureBroker(
            workspace, certificates: "certificates",
            rules: """
                trust_domains:
                  - {name: dev.example.org, bundle: {file: bundle.pem}}
                issuers:
                  - {name: ci, issuer: "\(issuer.issuer)", audience: "\(RunningBroker.audience)", keys: {file: issuer.json}}
                rules:
                  - name: workload
                    trust_domain: dev.example.org
                    match: {spiffe_id: "spiffe://dev.example.org/workload"}
                    \(SecureBroker.grantOfBoth)}
                  - name: narrow
                    trust_domain: dev.example.org
                    match: {spiffe_id: "spiffe://dev.example.org/work*"}
                    grant: {scope: ["anthropic:count_tokens"], ttl: 5m}
                  - name: job
                    issuer: ci
                    match: {repository_id: "123456"}
                    grant: {scope: ["anthropic:messages"], bind: true}

                """)
    }

    private func curl(_ broker: SecureBroker, _ who: String?, _ path: String, _ options: [String]) async throws
        -> Answer
    {
        let folder = who.map { broker.workspace.path($0) } ?? ""
        let certificate = who == nil ? [] : ["--cert", "\(folder)/workload.pem", "--key", "\(folder)/workload.key"]
        let outcome = try await RunningProcess(
            try #require(Programs.curl),
            ["-sS", "-i", "--cacert", broker.workspace.path("bundle.pem")] + certificate + options
                + [broker.origin + path]
        ).outcome()
        let parts = outcome.output.components(separatedBy: "\r\n\r\n")
        try #require(outcome.status == 0 && parts.count >= 2, "\(outcome)")
        return Answer(
            status: Int(parts[0].split(separator: " ").dropFirst().first ?? "") ?? 0, head: parts[0].lowercased(),
            json: (try? JSONReader.readObject(Array(parts[1].utf8))) ?? [:])
    }

    @Test func `has a token for its SPIFFE ID, as the rules grant it`() async throws {
        let (workspace, issuer) = (try Workspace(), try TestIssuer())
        let broker = try await start(workspace, issuer)
        let granted = try await curl(broker, "certificates", "/oauth/token", Self.clientCredentials)
        #expect(granted.status == 200, "\(granted)")
        #expect(granted.text("scope") == Self.both)
        // RFC 6749 §4.4.3: no token type beyond the usual one, and nothing to refresh it with.
        #expect(granted.text("token_type") == "Bearer")
        #expect(granted.json["refresh_token"] == nil)
        let token = try #require(granted.text("access_token"))
        #expect(try TokenSegments(token).claims["cnf"] == nil)
        let verified = try await curl(
            broker, nil, "/verify?scope=anthropic:messages", ["-H", "Authorization: Bearer \(token)"])
        #expect(verified.status == 200)
        #expect(verified.head.contains("\r\ndaypass-subject: spiffe://dev.example.org/workload\r\n"))
        #expect(verified.head.contains("\r\ndaypass-rule: workload\r\n"))

        let table: [(who: String?, options: [String], status: Int, error: String?, scope: String?)] = [
            ("certificates", ["-d", "scope=anthropic:messages"], 200, nil, "anthropic:messages"),
            ("certificates", ["-d", "rule=narrow"], 200, nil, "anthropic:count_tokens"),
            ("certificates", ["-d", "rule=workload"], 200, nil, Self.both),
            ("certificates", ["-d", "rule=narrow", "-d", "scope=anthropic:messages"], 400, "invalid_scope", nil),
            ("certificates", ["-d", "scope=openai:responses"], 400, "invalid_scope", nil),
            ("certificates", ["-d", "rule=nowhere"], 401, "invalid_client", nil),
            ("certificates", ["-d", "rule=job"], 401, "invalid_client", nil),
            ("certificates", ["-u", "workload:secret"], 401, "invalid_client", nil),
            ("unknown", [], 401, "invalid_client", nil),
            (nil, [], 401, "invalid_client", nil),
        ]
        for row in table {
            let answer = try await curl(broker, row.who, "/oauth/token", Self.clientCredentials + row.options)
            #expect(answer.status == row.status, "\(row): \(answer)")
            #expect(answer.text("error") == row.error, "\(row): \(answer)")
            #expect(answer.text("scope") == row.scope, "\(row): \(answer)")
        }
        try await checkRecord(of: broker)
        try await broker.stop()
    }

    /// Why the workload that no rule knows was refused.
    private func checkRecord(of broker: SecureBroker) async throws {
        let records = try await broker.refusals().filter {
            $0["subject"]?.string == "spiffe://dev.example.org/unknown"
        }
        #expect(records.count == 1)
        let record = try #require(records.first)
        #expect(record["reason"]?.string == "no_rule")
        let rules = record["details"]?.object?["explanation"]?.object?["rules"]?.array ?? []
        #expect(rules.map { $0.object?["rule"]?.string } == ["workload", "narrow"])
        let failed = rules.first?.object?["failed"]?.array?.first?.object
        #expect(failed?["claim"]?.string == "spiffe_id")
        #expect(failed?["got"]?.string == "spiffe://dev.example.org/unknown")
    }

    @Test func `exchanges JWTs over the same connection at both endpoints, and what is bound is bound to it`()
        async throws
    {
        let (workspace, issuer) = (try Workspace(), try TestIssuer())
        let broker = try await start(workspace, issuer)
        let expected = Base64URL.encode(try await Certificates.fingerprint(workspace, "certificates/workload.pem"))
        let jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"
        let grants: [@Sendable (String) -> (path: String, options: [String])] = [
            { ("/oauth/token", ["-d", "grant_type=\(jwtBearer)", "-d", "assertion=\($0)"]) },
            { token in
                let body: JSONObject = [
                    "grant_type": .string(ExactString(jwtBearer)), "assertion": .string(ExactString(token)),
                ]
                let text = String(decoding: body.encoded(), as: UTF8.self)
                return ("/v1/oauth/token", ["-H", "Content-Type: application/json", "-d", text])
            },
            {
                (
                    "/oauth/token",
                    [
                        "-d", "grant_type=urn:ietf:params:oauth:grant-type:token-exchange", "-d", "subject_token=\($0)",
                        "-d", "subject_token_type=urn:ietf:params:oauth:token-type:jwt",
                    ]
                )
            },
        ]
        for (index, request) in grants.enumerated() {
            let claims = issuer.claims(subject: "job-\(index)", at: Date()).merging(["repository_id": "123456"])
            let (path, options) = request(try issuer.token(claims))
            let without = try await curl(broker, nil, path, options)
            #expect(without.status == (path == "/oauth/token" ? 400 : 401), "\(without)")
            let granted = try await curl(broker, "certificates", path, options)
            let token = try #require(granted.text("access_token"), "\(granted)")
            #expect(try TokenSegments(token).claims["cnf"]?.object?["x5t#S256"]?.string?.string == expected)
            for (who, status) in [("certificates", 200), ("unknown", 401), (nil, 401)] {
                let verified = try await curl(
                    broker, who, "/verify?scope=anthropic:messages", ["-H", "Authorization: Bearer \(token)"])
                #expect(verified.status == status, "\(verified)")
            }
        }
        try await broker.stop()
    }
}
