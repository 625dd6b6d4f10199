import BrokerTesting
import Foundation
import JOSE
import Testing

/// Proxies that terminate mutual TLS and say in a header which certificate their client has.
///
/// They connect from addresses of loopback of their own, so that one of them is listed and another is not.
@Suite(
    .onOwnThreads, .timeLimit(.minutes(5)),
    .enabled(
        if: Programs.certificatePython != nil && Programs.openssl != nil,
        "cryptography or openssl is not installed: Tests/Peers/install"))
struct `Proxies in front of daypassd that forward certificates` {
    private static let listed = "127.0.0.2"
    private static let proxyID = "spiffe://python.example.org/key/direct"

    private struct Stage {
        let broker: SecureBroker
        /// To the broker itself, and to the proxy.
        let direct, client: CertificateClient
        let proxy: RunningProcess
        /// Bound to `good/bound`.
        let token: String
        /// What a client writes to pass for it: its certificate is no secret.
        let forged: [(String, String)]

        /// Asks /verify through the proxy as everybody, and with every forgery.
        func check(_ more: [(String, String)] = [], passes: (String?) -> Bool) async throws {
            for who in ["good/bound", "good/bound-again", "good/bound-other", "good/p256", nil] {
                for forgery in [[]] + forged.map({ [$0] }) + [forged] {
                    let answer = try await client.verify(token, as: who, more + forgery)
                    #expect(
                        answer.status == (passes(who) ? 200 : 401),
                        "\(who ?? "nobody") \(more) \(forgery.map(\.0)): \(answer)")
                }
            }
        }

        func stop() async throws {
            proxy.signal(SIGKILL)
            try await broker.stop()
        }
    }

    private func stage(
        header: String, _ start: (Workspace, _ port: Int, _ brokerPort: Int) throws -> RunningProcess
    ) async throws -> Stage {
        let workspace = try Workspace()
        try await Certificates.python(workspace)
        try await Certificates.python(workspace, "--again")
        let broker = try await SecureBroker(
            workspace, tls: "forwarded_certificates: {header: \(header), from: [\"\(Self.proxyID)\"]}",
            listener: "trusted_proxies: [\"\(Self.listed)\"]",
            rules: Certificates.pythonDomain)
        let port = try Workspace.freePort()
        let proxy = try start(workspace, port, broker.port)
        let (direct, client) = (
            try await CertificateClient(of: broker), try await CertificateClient(of: workspace, port: port)
        )
        try await waitUntil("the proxy answers", within: 60) {
            try #require(proxy.isRunning, "\(proxy.error)")
            let answer = try await client.request(as: nil, "GET", "/healthz", [("x-cluster", "listed")])
            return answer.status == 200
        }
        let granted = try await direct.token(as: "good/bound")
        let pem = try String(contentsOfFile: workspace.path("good/bound.pem"), encoding: .utf8)
        let base64 = try #require(pem.components(separatedBy: "-----").dropFirst(2).first).replacing("\n", with: "")
        let hash = try await Certificates.fingerprint(workspace, "good/bound.pem")
            .map { String(format: "%02x", $0) }.joined()
        return Stage(
            broker: broker, direct: direct, client: client, proxy: proxy,
            token: try #require(granted.text("access_token"), "\(granted)"),
            forged: [("Client-Cert", ":\(base64):"), ("X-Forwarded-Client-Cert", "Hash=\(hash)")])
    }

    @Test(.enabled(if: Programs.envoy != nil, "envoy is not installed: Tests/Peers/install"))
    func `Envoy's clients have the certificate that it names, where it is listed and shows its own`() async throws {
        let envoy = try #require(Programs.envoy)
        let stage = try await stage(header: "x-forwarded-client-cert") { workspace, port, broker in
            try workspace.write("envoy.json", Self.envoyConfiguration(port, broker))
            return try RunningProcess(
                envoy, ["-c", "envoy.json", "--concurrency", "1", "--base-id", "\(port)", "-l", "error"],
                in: workspace.folder)
        }
        try await stage.check([("x-cluster", "listed")]) { $0 == "good/bound" }
        try await stage.check([("x-cluster", "unlisted")]) { _ in false }
        try await stage.check([("x-cluster", "anonymous")]) { _ in false }
        for header in stage.forged {
            #expect(try await stage.direct.verify(stage.token, as: "good/p256", [header]).status == 401)
        }

        // A listed proxy is nobody, and neither is its client; another one is the workload that its certificate says.
        for (cluster, status) in [("listed", 401), ("anonymous", 401), ("unlisted", 200)] {
            for who in ["good/p256", nil] {
                let answer = try await stage.client.request(
                    as: who, "POST", "/oauth/token",
                    [("x-cluster", cluster), ("Content-Type", "application/x-www-form-urlencoded")],
                    body: "grant_type=client_credentials")
                #expect(answer.status == status, "\(cluster): \(answer)")
                guard let token = answer.text("access_token") else {
                    #expect(answer.text("error") == "invalid_client")
                    continue
                }
                let verified = try await stage.direct.verify(token, as: nil)
                #expect(verified.header("Daypass-Subject") == "spiffe://python.example.org/key/direct")
            }
        }
        try await stage.stop()
    }

    @Test(.enabled(if: Programs.haproxy != nil, "haproxy is not installed"))
    func `HAProxy's clients have the certificate that it forwards`() async throws {
        let haproxy = try #require(Programs.haproxy)
        let lines = try Self.operationsLines()
        #expect(lines.count == 2)
        let stage = try await stage(header: "client-cert") { workspace, port, broker in
            for name in ["server", "good/direct"] {
                let parts = try ["pem", "key"].map {
                    try Data(contentsOf: workspace.folder.appending(path: "\(name).\($0)"))
                }
                try workspace.write("\(name).both", parts[0] + parts[1])
            }
            try workspace.write(
                "haproxy.cfg",
                """
                defaults
                    mode http
                    timeout connect 5s
                    timeout client 20s
                    timeout server 20s
                frontend gateway
                    bind 127.0.0.1:\(port) ssl crt server.both ca-file root.pem verify optional
                    \(lines.joined(separator: "\n    "))
                    default_backend daypass
                backend daypass
                    server daypass 127.0.0.1:\(broker) source \(Self.listed) ssl crt good/direct.both ca-file root.pem verify required verifyhost localhost

                """)
            return try RunningProcess(haproxy, ["-db", "-f", "haproxy.cfg"], in: workspace.folder)
        }
        try await stage.check { $0 == "good/bound" }
        let token = try await stage.client.token(as: "good/p256")
        #expect(token.status == 401 && token.text("error") == "invalid_client", "\(token)")
        try await stage.stop()
    }

    /// What the page tells operators to write for HAProxy.
    private static func operationsLines() throws -> [String] {
        let page = Programs.repository.appending(path: "Sources/Broker/Broker.docc/Operations.md")
        let blocks = try String(contentsOf: page, encoding: .utf8).components(separatedBy: "```")
        let block = try #require(blocks.first { $0.hasPrefix("haproxy\n") })
        return block.split(separator: "\n").dropFirst().map { $0.trimmingCharacters(in: .whitespaces) }
            .filter { !$0.isEmpty }
    }

    /// The client chooses with the header `x-cluster` from which address Envoy connects, and whether with a certificate.
    private static func envoyConfiguration(_ port: Int, _ broker: Int) -> String {
        let extensions = "type.googleapis.com/envoy.extensions"
        let clusters = [("listed", listed, true), ("unlisted", "127.0.0.3", true), ("anonymous", listed, false)]
            .map { name, source, shows in
                let certificate = """
                    "tls_certificates": [{"certificate_chain": {"filename": "good/direct.pem"},
                      "private_key": {"filename": "good/direct.key"}}],
                    """
                return """
                    {"name": "\(name)", "type": "STATIC", "connect_timeout": "10s",
                      "upstream_bind_config": {"source_address": {"address": "\(source)", "port_value": 0}},
                      "load_assignment": {"cluster_name": "\(name)", "endpoints": [{"lb_endpoints": [{"endpoint":
                        {"address": {"socket_address": {"address": "127.0.0.1", "port_value": \(broker)}}}}]}]},
                      "transport_socket": {"name": "tls", "typed_config": {
                        "@type": "\(extensions).transport_sockets.tls.v3.UpstreamTlsContext", "sni": "localhost",
                        "common_tls_context": {\(shows ? certificate : "")
                          "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
                          "validation_context": {"trusted_ca": {"filename": "root.pem"},
                            "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "localhost"}}]}}}}}
                    """
            }
        return """
            {"static_resources": {"clusters": [\(clusters.joined(separator: ","))], "listeners": [{"name": "gateway",
              "address": {"socket_address": {"address": "127.0.0.1", "port_value": \(port)}},
              "filter_chains": [{
                "transport_socket": {"name": "tls", "typed_config": {
                  "@type": "\(extensions).transport_sockets.tls.v3.DownstreamTlsContext",
                  "require_client_certificate": false,
                  "common_tls_context": {
                    "tls_certificates": [{"certificate_chain": {"filename": "server.pem"},
                      "private_key": {"filename": "server.key"}}],
                    "validation_context": {"trusted_ca": {"filename": "root.pem"}}}}},
                "filters": [{"name": "http", "typed_config": {
                  "@type": "\(extensions).filters.network.http_connection_manager.v3.HttpConnectionManager",
                  "stat_prefix": "gateway", "forward_client_cert_details": "SANITIZE_SET",
                  "set_current_client_cert_details": {"subject": true, "cert": true, "chain": true, "dns": true, "uri": true},
                  "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                    {"match": {"prefix": "/"}, "route": {"cluster_header": "x-cluster"}}]}]},
                  "http_filters": [{"name": "router", "typed_config":
                    {"@type": "\(extensions).filters.http.router.v3.Router"}}]}}]}]}]}}
            """
    }
}
