import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

/// A broker, and a gateway with the provider's API behind it: what Anthropic's clients need, who know one base URL. The
/// gateway is one of the tests' own, or one of `config/integrations` with nothing but the API behind it.
struct AnthropicStage {
    static let organization = "3e8f0a52-6b0f-4f0e-9a51-5b1c7d3a9e10"

    let broker: RunningBroker
    let issuer: TestIssuer
    /// What answers for the provider.
    let gateway: RunningProcess
    /// In front of that, if it is not the gateway itself.
    private let front: RunningProcess?
    let origin: String

    var workspace: Workspace { broker.workspace }
    var identityToken: String { workspace.path("identity-token") }

    /// - Parameter ttl: of the rule `sdk`, which lists the ids of federation.
    init(ttl: String = "15m", through integration: Gateway? = nil) async throws {
        let workspace = try Workspace()
        issuer = try TestIssuer()
        let configuration =
            try RunningBroker.fileIssuer(issuer, in: workspace) + """
                  - name: sdk
                    issuer: github
                    match: {repository_id: "123456", ref: refs/heads/main}
                    federation: {organization_id: \(Self.organization), service_account_id: svac_01}
                    grant: {scope: ["anthropic:messages"], ttl: \(ttl)}

                """
        broker = try await RunningBroker(
            workspace, issuersAndRules: configuration, admin: "{socket: run/admin.sock}",
            trustedProxies: integration == nil ? [] : ["127.0.0.1"])
        let port = try Workspace.freePort()
        let script = Programs.repository.appending(path: "Tests/Peers/anthropic-gateway.py")
        gateway = try RunningProcess(
            try #require(Programs.python),
            [script.path(percentEncoded: false), "\(port)"] + (integration == nil ? [broker.origin] : []))
        try await waitUntil("the gateway listens") { [gateway] in
            try #require(gateway.isRunning, "\(gateway.error)")
            return Workspace.isListening(port)
        }
        guard let integration else {
            (front, origin) = (nil, "http://127.0.0.1:\(port)")
            return
        }
        let daypass = try #require(broker.origin.split(separator: ":").last.flatMap { Int($0) })
        let ports = try Gateway.Ports(
            gateway: Workspace.freePort(), inner: Workspace.freePort(), daypass: daypass, application: port)
        try await integration.install(in: workspace, ports, issuer: broker.origin)
        try await integration.prepare(in: workspace)
        let front = try integration.start(in: workspace, base: ports.gateway)
        try await waitUntil("\(integration.rawValue) listens", within: 60) {
            try #require(front.isRunning, "\(front.error)")
            return Workspace.isListening(ports.gateway)
        }
        (self.front, origin) = (front, "http://127.0.0.1:\(ports.gateway)")
    }

    /// What the gateway received, in order.
    func requests() throws -> [JSONObject] {
        try gateway.output.split(separator: "\n").map { try JSONReader.readObject(Array($0.utf8)) }
    }

    /// Their paths, and what was answered.
    func answers() throws -> [String] {
        try requests().map { request in
            let status = try #require(request["status"]?.number.flatMap { Int(exactly: $0) })
            return "\(try #require(request["path"]?.string?.string)) \(status)"
        }
    }

    /// The bearer tokens of the messages, in order.
    func bearers() throws -> [String] {
        try requests().filter { $0["path"] == "/v1/messages" }.map {
            let header = try #require($0["headers"]?.object?["authorization"]?.string?.string)
            try #require(header.hasPrefix("Bearer "))
            return String(header.dropFirst(7))
        }
    }

    func writeIdentityToken(ref: String = "refs/heads/main") throws {
        let claims = issuer.claims(at: Date()).merging(["repository_id": "123456"])
        try workspace.write("identity-token", try issuer.token(claims.merging(["ref": .string(ExactString(ref))])))
    }

    /// The variables of federation, and nothing else.
    func federation(account: String = "svac_01") -> [String: String] {
        [
            "ANTHROPIC_BASE_URL": origin, "ANTHROPIC_FEDERATION_RULE_ID": "sdk",
            "ANTHROPIC_ORGANIZATION_ID": Self.organization, "ANTHROPIC_SERVICE_ACCOUNT_ID": account,
            "ANTHROPIC_IDENTITY_TOKEN_FILE": identityToken,
        ]
    }

    /// The profile of `config/anthropic`, with this stage's addresses, in a folder of its own.
    func installProfile() throws -> [String: String] {
        let file = Programs.repository.appending(path: "config/anthropic/configs/daypass.json")
        var text = try String(contentsOf: file, encoding: .utf8)
        for (old, new) in [
            ("https://gateway.example.com", origin), ("ci-main", "sdk"),
            ("/var/run/secrets/daypass/token", identityToken),
        ] {
            try #require(text.contains(old), "\(old)")
            text = text.replacing(old, with: new)
        }
        try workspace.write("anthropic/configs/daypass.json", text)
        return ["ANTHROPIC_CONFIG_DIR": workspace.path("anthropic"), "ANTHROPIC_PROFILE": "daypass"]
    }

    /// Its holder's own revocation.
    func revoke(_ token: String) async throws {
        let form = ("Content-Type", "application/x-www-form-urlencoded")
        let answer = try await broker.send(.POST, "/oauth/revoke", [form], body: RunningBroker.form([("token", token)]))
        try #require(answer.status == 200)
    }

    /// An administrator's, after which the subject gets no token any more.
    func block(_ token: String) async throws {
        let verified = try await broker.verify(token)
        let subject = try #require(verified.headers.first(name: "Daypass-Subject")?.removingPercentEncoding)
        let outcome = try await AdministeredBroker.daypass(
            ["revoke", "subject", subject, "--block", "--until", "1h", "--yes"],
            ["DAYPASS_SOCKET": workspace.path("run/admin.sock")])
        try #require(outcome.status == 0, "\(outcome.error)")
    }
}
