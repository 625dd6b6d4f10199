import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

@Suite(.onOwnThreads) struct `Programs that nobody here wrote` {
    @Test(.enabled(if: Programs.envoy != nil, "envoy is not installed: Tests/Peers/install"))
    func `Envoy accepts a minted token from the published keys and refuses a tampered one`() async throws {
        let envoyProgram = try #require(Programs.envoy)
        let workspace = try Workspace()
        let issuer = try TestIssuer()
        let broker = try await RunningBroker(
            workspace, issuersAndRules: try RunningBroker.fileIssuer(issuer, in: workspace))
        let claims = issuer.claims(at: Date()).merging(["repository_id": "123456", "ref": "refs/heads/main"])
        let token = try #require(try await broker.exchange(issuer.token(claims)).text("access_token"))

        let port = try Workspace.freePort()
        try workspace.write("envoy.json", Self.configuration(port: port, broker: broker))
        let envoy = try RunningProcess(
            envoyProgram,
            ["-c", workspace.path("envoy.json"), "--concurrency", "1", "--base-id", "\(port)", "-l", "error"])
        let gateway = "http://127.0.0.1:\(port)/"
        // It fetches the keys from the broker by itself; until then it answers 401 or nothing.
        try await waitUntil("Envoy accepts the token", within: 30) {
            try #require(envoy.isRunning, "\(envoy.error)")
            let answer = try? await broker.send(.GET, gateway, [("Authorization", "Bearer \(token)")])
            return answer?.status == 200
        }
        var segments = TokenSegments(token)
        segments.signature = (segments.signature.hasPrefix("A") ? "B" : "A") + segments.signature.dropFirst()
        let tampered = "\(segments.header).\(segments.payload).\(segments.signature)"
        #expect(try await broker.send(.GET, gateway, [("Authorization", "Bearer \(tampered)")]).status == 401)
        #expect(try await broker.send(.GET, gateway).status == 401)
        let foreign = try issuer.token(issuer.claims(at: Date()))
        #expect(try await broker.send(.GET, gateway, [("Authorization", "Bearer \(foreign)")]).status == 401)
    }

    @Test(.enabled(if: Programs.peerPython != nil, "oidc-provider-mock is not installed: Tests/Peers/install"))
    func `an ID token of an OpenID provider is exchanged, its keys found by discovery`() async throws {
        let (provider, origin) = try await Self.provider()
        defer { provider.signal(SIGKILL) }
        let broker = try await RunningBroker(try Workspace(), issuersAndRules: Self.rules(for: origin))
        try await waitUntil("the provider's keys are there") {
            try await broker.send(.GET, "\(broker.telemetry)/readyz").status == 200
        }
        let idToken = try await Self.signIn(at: origin)
        let granted = try await broker.exchange(
            idToken, ["subject_token_type": "urn:ietf:params:oauth:token-type:id_token"])
        #expect(granted.status == 200, "\(granted.body)")
        let token = try #require(granted.text("access_token"))
        let allowed = try await broker.verify(token)
        #expect(allowed.status == 200)
        #expect(allowed.headers.first(name: "Daypass-Subject") == "corp-sso:alice")
    }

    @Test(.enabled(if: Programs.peerPython != nil, "oidc-provider-mock is not installed: Tests/Peers/install"))
    func `an ID token without a key id is refused, also when the issuer has only one key`() async throws {
        let (provider, origin) = try await Self.provider("--without-kid")
        defer { provider.signal(SIGKILL) }
        let broker = try await RunningBroker(try Workspace(), issuersAndRules: Self.rules(for: origin))
        let refused = try await broker.exchange(try await Self.signIn(at: origin))
        #expect(refused.status == 400)
        #expect(refused.text("error") == "invalid_request")
        try await waitUntil("the reason is logged") { broker.process.error.contains(#""reason":"key""#) }
    }

    @Test(.enabled(if: Programs.curl != nil, "curl is not installed"))
    func `curl exchanges a token with the line of the README`() async throws {
        let curl = try #require(Programs.curl)
        let workspace = try Workspace()
        let issuer = try TestIssuer()
        let broker = try await RunningBroker(
            workspace, issuersAndRules: try RunningBroker.fileIssuer(issuer, in: workspace))
        let claims = issuer.claims(at: Date()).merging(["repository_id": "123456", "ref": "refs/heads/main"])
        try workspace.write("token", try issuer.token(claims))
        let outcome = try await RunningProcess(
            curl,
            [
                "-sS", "--fail-with-body", "\(broker.origin)/oauth/token",
                "-d", "grant_type=urn:ietf:params:oauth:grant-type:token-exchange",
                "-d", "subject_token_type=urn:ietf:params:oauth:token-type:jwt",
                "--data-urlencode", "subject_token@\(workspace.path("token"))",
            ]
        ).outcome()
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.error)")
        let answer = try JSONReader.readObject(Array(outcome.output.utf8))
        #expect(answer["access_token"]?.string != nil)
    }

    // MARK: The OpenID provider

    static func provider(_ flags: String...) async throws -> (RunningProcess, origin: String) {
        let port = try Workspace.freePort()
        let script = Programs.repository.appending(path: "Tests/Peers/openid-provider.py").path(percentEncoded: false)
        let process = try RunningProcess(try #require(Programs.peerPython), [script, "\(port)"] + flags)
        try await waitUntil("the provider listens", within: 30) {
            try #require(process.isRunning, "\(process.error)")
            return process.output.contains("Running on") || process.error.contains("Running on")
        }
        return (process, "http://127.0.0.1:\(port)")
    }

    private static func rules(for origin: String) -> String {
        """
        issuers:
          - name: corp-sso
            issuer: \(origin)
            audience: daypass
            allow_private: true
        rules:
          - name: platform
            issuer: corp-sso
            match: {groups: platform-admins, sub: alice}
            grant: {scope: ["anthropic:messages"], ttl: 15m}

        """
    }

    /// The authorization code flow, as a browser and a client would go through it.
    private static func signIn(at origin: String) async throws -> String {
        let curl = try #require(Programs.curl)
        let redirect = "http://127.0.0.1:1/callback"
        let authorize =
            "\(origin)/oauth2/authorize?client_id=daypass&redirect_uri=\(redirect)&response_type=code&scope=openid&state=s&nonce=n"
        let approved = try await RunningProcess(
            curl, ["-sS", "-o", "/dev/null", "-w", "%{redirect_url}", "-d", "sub=alice", authorize]
        ).outcome()
        let query = try #require(URLComponents(string: approved.output)?.queryItems, "\(approved)")
        let code = try #require(query.first { $0.name == "code" }?.value)
        let issued = try await RunningProcess(
            curl,
            [
                "-sS", "-u", "daypass:secret", "-d", "grant_type=authorization_code", "-d", "code=\(code)",
                "-d", "redirect_uri=\(redirect)", "\(origin)/oauth2/token",
            ]
        ).outcome()
        let answer = try JSONReader.readObject(Array(issued.output.utf8))
        return try #require(answer["id_token"]?.string?.string, "\(issued)")
    }

    // MARK: Envoy

    private static func configuration(port: Int, broker: RunningBroker) -> String {
        let brokerPort = broker.origin.split(separator: ":").last.map(String.init) ?? ""
        let filters = "type.googleapis.com/envoy.extensions.filters"
        return """
            {"static_resources": {
              "clusters": [{"name": "daypass", "type": "STATIC", "connect_timeout": "1s", "load_assignment": {
                "cluster_name": "daypass", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address":
                  {"address": "127.0.0.1", "port_value": \(brokerPort)}}}}]}]}}],
              "listeners": [{"name": "gateway",
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": \(port)}},
                "filter_chains": [{"filters": [{"name": "http", "typed_config": {
                  "@type": "\(filters).network.http_connection_manager.v3.HttpConnectionManager",
                  "stat_prefix": "gateway",
                  "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                    {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}]}]},
                  "http_filters": [
                    {"name": "jwt", "typed_config": {"@type": "\(filters).http.jwt_authn.v3.JwtAuthentication",
                      "providers": {"daypass": {"issuer": "\(broker.origin)",
                        "audiences": ["\(RunningBroker.gatewayAudience)"],
                        "remote_jwks": {"http_uri": {"uri": "\(broker.origin)/oauth/jwks", "cluster": "daypass",
                          "timeout": "5s"}, "cache_duration": "300s", "async_fetch": {}}}},
                      "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "daypass"}}]}},
                    {"name": "router", "typed_config": {"@type": "\(filters).http.router.v3.Router"}}]}}]}]}]}}
            """
    }
}
