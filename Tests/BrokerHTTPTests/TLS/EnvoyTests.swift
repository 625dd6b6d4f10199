import Foundation
import NIOCore
import NIOPosix
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `Envoy in front` {
    /// From `Tests/Peers/install`, if that was run.
    private static let envoy: String? = {
        let environment = ProcessInfo.processInfo.environment
        let cache = environment["XDG_CACHE_HOME"] ?? "\(environment["HOME"] ?? "/root")/.cache"
        let path = "\(environment["DAYPASS_PEERS"] ?? "\(cache)/daypass-test-peers")/bin/envoy"
        return FileManager.default.isExecutableFile(atPath: path) ? path : nil
    }()

    @Test(.enabled(if: envoy != nil, "envoy is not installed: Tests/Peers/install"))
    func `Envoy proves who it is with its own certificate`() async throws {
        try await TLSServer.run { server in
            let port = try await Self.freePort()
            try Data(Self.configuration(port: port, upstream: server.port).utf8)
                .write(to: server.folder.appending(path: "envoy.json"))
            let envoy = [
                try #require(Self.envoy), "-c", "envoy.json", "--concurrency", "1", "--base-id", "\(port)", "-l",
                "error",
            ]
            try await Command.during(envoy, in: server.folder) {
                let answer = try await Command.run(
                    [
                        "curl", "-sS", "--retry", "60", "--retry-delay", "1", "--retry-max-time", "80",
                        "--retry-connrefused", "--retry-all-errors", "--fail", "http://127.0.0.1:\(port)/",
                    ], in: server.folder)
                #expect(answer.output.hasSuffix("you are spiffe://dev.example.org/workload"), "\(answer.output)")
            }
            #expect(server.handshakes("certificate") != "0")
        }
    }

    private static func freePort() async throws -> Int {
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0).get()
        let port = channel.localAddress?.port
        try await channel.close()
        return try #require(port)
    }

    private static func configuration(port: Int, upstream: Int) -> String {
        let extensions = "type.googleapis.com/envoy.extensions"
        return """
            {"static_resources": {
              "clusters": [{"name": "daypass", "type": "STATIC", "connect_timeout": "10s",
                "load_assignment": {"cluster_name": "daypass", "endpoints": [{"lb_endpoints": [{"endpoint":
                  {"address": {"socket_address": {"address": "127.0.0.1", "port_value": \(upstream)}}}}]}]},
                "transport_socket": {"name": "tls", "typed_config": {
                  "@type": "\(extensions).transport_sockets.tls.v3.UpstreamTlsContext", "sni": "localhost",
                  "common_tls_context": {
                    "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
                    "tls_certificates": [{"certificate_chain": {"filename": "certificates/workload.pem"},
                      "private_key": {"filename": "certificates/workload.key"}}],
                    "validation_context": {"trusted_ca": {"filename": "certificates/bundle.pem"},
                      "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "localhost"}}]}}}}}],
              "listeners": [{"name": "gateway",
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": \(port)}},
                "filter_chains": [{"filters": [{"name": "http", "typed_config": {
                  "@type": "\(extensions).filters.network.http_connection_manager.v3.HttpConnectionManager",
                  "stat_prefix": "gateway",
                  "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                    {"match": {"prefix": "/"}, "route": {"cluster": "daypass"}}]}]},
                  "http_filters": [{"name": "router", "typed_config":
                    {"@type": "\(extensions).filters.http.router.v3.Router"}}]}}]}]}]}}
            """
    }
}
