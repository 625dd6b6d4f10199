import Foundation
import Testing

@Suite(.onOwnThreads) struct `daypassd over TLS` {
    private static let curl = Programs.curl ?? "curl"

    /// A daemon over the certificates of `certs/make-development`.
    /// - Parameter trustDomains: names of trust domains, each with its own bundle.
    private static func start(
        _ workspace: Workspace, keyMode: Int = 0o600, trustDomains: [String] = []
    ) async throws -> (
        RunningProcess, origin: String
    ) {
        try await Certificates.develop(workspace, "certificates")
        for domain in trustDomains { try await Certificates.develop(workspace, domain, domain) }
        let domains = trustDomains.map { "  - {name: \($0), bundle: {file: \($0)/bundle.pem}}\n" }.joined()
        try FileManager.default.setAttributes(
            [.posixPermissions: keyMode], ofItemAtPath: workspace.path("certificates/server.key"))
        let (port, telemetryPort) = (try Workspace.freePort(), try Workspace.freePort())
        try workspace.write(
            "daypass.yaml",
            """
            server:
              public:
                listen: "0.0.0.0:\(port)"
                url: "https://localhost:\(port)"
                tls: {certificate: certificates/server.pem, key: certificates/server.key}
              telemetry: {listen: "127.0.0.1:\(telemetryPort)"}
            tokens: {audiences: ["https://gateway.example.com"]}
            store: {sqlite: data/daypass.db}
            master_key_file: data/master.key

            """ + (domains.isEmpty ? "" : "trust_domains:\n\(domains)"))
        let configuration = workspace.path("daypass.yaml")
        let initialized = try await RunningProcess(Programs.daypassd, ["init", "--config", configuration]).outcome()
        try #require(initialized.status == 0, "\(initialized.error)")
        return (
            try RunningProcess(Programs.daypassd, ["serve", "--config", configuration]), "https://localhost:\(port)"
        )
    }

    private static func fetch(_ workspace: Workspace, _ url: String, _ more: [String] = []) async throws
        -> RunningProcess.Outcome
    {
        try await RunningProcess(
            curl, ["-sS", "--cacert", workspace.path("certificates/bundle.pem")] + more + [url]
        ).outcome()
    }

    private static func workload(_ workspace: Workspace) -> [String] {
        ["--cert", workspace.path("certificates/workload.pem"), "--key", workspace.path("certificates/workload.key")]
    }

    @Test(.enabled(if: Programs.curl != nil, "curl is not installed"))
    func `curl trusts it, a changed certificate is served without a restart, and SIGTERM ends it`() async throws {
        let workspace = try Workspace()
        let (process, origin) = try await Self.start(workspace)
        try await RunningBroker.waitUntilListening(process)
        let answer = try await Self.fetch(workspace, "\(origin)/healthz")
        #expect(answer.output == #"{"status":"ok"}"#, "\(answer.error)")

        try await Certificates.develop(workspace, "new")
        for file in ["server.pem", "server.key"] {
            try Data(contentsOf: workspace.folder.appending(path: "new/\(file)"))
                .write(to: workspace.folder.appending(path: "certificates/\(file)"))
        }
        try await waitUntil("the new certificate is served", within: 30) {
            let answer = try await RunningProcess(
                Self.curl, ["-sS", "--cacert", workspace.path("new/bundle.pem"), "\(origin)/healthz"]
            ).outcome()
            return answer.status == 0
        }
        #expect(process.error.contains("the server certificate was read again"))
        process.signal(SIGTERM)
        #expect(try await process.outcome(within: 20).status == 0)
    }

    @Test(.enabled(if: Programs.curl != nil, "curl is not installed"))
    func `a certificate of a trust domain that is not configured ends the handshake`() async throws {
        let workspace = try Workspace()
        let (process, origin) = try await Self.start(workspace, trustDomains: ["other.example.org"])
        try await RunningBroker.waitUntilListening(process)
        let answer = try await Self.fetch(workspace, "\(origin)/healthz", Self.workload(workspace))
        #expect(answer.status != 0)
        #expect(answer.output == "")
        try await waitUntil("the reason is logged") {
            process.error.contains("spiffe://dev.example.org/workload: its trust domain is not configured")
        }
    }

    @Test(.enabled(if: Programs.curl != nil, "curl is not installed"))
    func `nobody is asked for a certificate where there is no trust domain`() async throws {
        let workspace = try Workspace()
        let (process, origin) = try await Self.start(workspace)
        try await RunningBroker.waitUntilListening(process)
        let answer = try await Self.fetch(workspace, "\(origin)/healthz", ["-v"] + Self.workload(workspace))
        #expect(answer.output == #"{"status":"ok"}"#, "\(answer.error)")
        #expect(answer.error.contains("SSL connection using TLSv1.3"))
        #expect(!answer.error.contains("Request CERT"), "\(answer.error)")
        #expect(!process.error.contains("certificate refused") && !process.error.contains("handshake failed"))
    }

    @Test func `a key that others can read is refused at the start`() async throws {
        let workspace = try Workspace()
        let (process, _) = try await Self.start(workspace, keyMode: 0o644)
        let outcome = try await process.outcome()
        #expect(outcome.status == 1)
        #expect(outcome.error.contains("server.key: others than its owner have access to it"), "\(outcome.error)")
    }
}
