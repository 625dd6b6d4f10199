import BrokerTesting
import Foundation
import JOSE
import Testing

/// A real `daypassd serve` over TLS, on loopback, that asks its clients for certificates.
final class SecureBroker: HTTPOrigin {
    static let grantOfBoth =
        #"grant: {scope: ["anthropic:messages", "anthropic:count_tokens"], ttl: 15m, max_session: 1h"#

    let workspace: Workspace
    let port: Int
    /// Only programs that trust the certificate can use it.
    let origin: String
    let telemetry: String
    let process: RunningProcess

    /// Starts over certificates that are in `workspace`, and waits until it listens.
    /// - Parameters:
    ///   - certificates: the folder in which there are `server.pem` and `server.key`.
    ///   - tls: further settings of TLS, and `listener` those of the listener: `name: value`, separated by commas.
    ///   - rules: how the configuration ends.
    init(
        _ workspace: Workspace, certificates: String = ".", tls: String = "minimum_version: \"1.2\"",
        listener: String = "trusted_proxies: []", rules: String
    ) async throws {
        let telemetryPort = try Workspace.freePort()
        port = try Workspace.freePort()
        self.workspace = workspace
        origin = "https://localhost:\(port)"
        telemetry = "http://127.0.0.1:\(telemetryPort)"
        let files = "certificate: \(certificates)/server.pem, key: \(certificates)/server.key"
        try workspace.write(
            "daypass.yaml",
            """
            server:
              public: {listen: "127.0.0.1:\(port)", url: "\(origin)", tls: {\(files), \(tls)}, \(listener)}
              telemetry: {listen: "127.0.0.1:\(telemetryPort)"}
              limits: {exchanges_per_second_per_address: 1000000}
            tokens: {audiences: ["\(RunningBroker.gatewayAudience)"]}
            store: {sqlite: data/daypass.db}
            master_key_file: data/master.key

            """ + rules)
        let configuration = workspace.path("daypass.yaml")
        let made = try await RunningProcess(Programs.daypassd, ["init", "--config", configuration]).outcome()
        try #require(made.status == 0, "\(made.error)")
        process = try RunningProcess(Programs.daypassd, ["serve", "--config", configuration])
        try await RunningBroker.waitUntilListening(process)
    }

    /// Ends it, as an operator does.
    func stop() async throws {
        process.signal(SIGTERM)
        #expect(try await process.outcome().status == 0)
    }

    /// The records of refusals so far, in order: `subject`, `rule`, `reason` and `details`.
    func refusals() async throws -> [JSONObject] {
        let script = """
            import json, sqlite3, sys
            columns = "subject", "rule", "reason", "details"
            for row in sqlite3.connect(sys.argv[1]).execute(
                f"select {', '.join(columns)} from audit where kind = 'exchange.refused' order by sequence"):
                record = dict(zip(columns, row))
                print(json.dumps({**record, "details": json.loads(record["details"])}))
            """
        let read = try await RunningProcess(
            try #require(Programs.python), ["-c", script, workspace.path("data/daypass.db")]
        ).outcome()
        #expect(read.status == 0, "\(read.error)")
        return try read.output.split(separator: "\n").map { try JSONReader.readObject(Array($0.utf8)) }
    }

    /// What the log says of handshakes that failed, in order.
    func handshakeLines() throws -> [JSONObject] {
        try process.error.split(separator: "\n").map { try JSONReader.readObject(Array($0.utf8)) }
            .filter {
                ["client certificate refused", "TLS handshake failed"].contains($0["message"]?.string?.string)
            }
    }
}
