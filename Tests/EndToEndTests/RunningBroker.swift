import AsyncHTTPClient
import BrokerTesting
import Foundation
import JOSE
import NIOCore
import NIOHTTP1
import Testing

/// A real `daypassd serve` on loopback, with a configuration and an issuer of the test's own.
final class RunningBroker: HTTPOrigin {
    static let audience = "https://daypass.example.com"
    static let gatewayAudience = "https://gateway.example.com"

    let workspace: Workspace
    let origin: String
    let telemetry: String
    let process: RunningProcess

    /// Starts over a configuration that ends with `issuersAndRules`, and waits until it listens.
    /// - Parameters:
    ///   - admin: the section `server.admin`.
    ///   - announcesItself: whether its log can be read.
    ///   - waits: whether it is waited for: not where it is to fail.
    ///   - port: where it listens; a free one where it is nil.
    init(
        _ workspace: Workspace, issuersAndRules: String, admin: String? = nil, trustedProxies: [String] = [],
        through wrapper: [String] = [], seconds: Int = 600, announcesItself: Bool = true, waits: Bool = true,
        port: Int? = nil
    ) async throws {
        let proxies = trustedProxies.isEmpty ? "" : ", trusted_proxies: \(trustedProxies)"
        let (port, telemetryPort) = (try port ?? Workspace.freePort(), try Workspace.freePort())
        self.workspace = workspace
        origin = "http://127.0.0.1:\(port)"
        telemetry = "http://127.0.0.1:\(telemetryPort)"
        try workspace.write(
            "daypass.yaml",
            """
            server:
              public: {listen: "127.0.0.1:\(port)", url: "\(origin)"\(proxies)}
              telemetry: {listen: "127.0.0.1:\(telemetryPort)"}
              limits: {exchanges_per_second_per_address: 1000000}\(admin.map { "\n  admin: \($0)" } ?? "")
            tokens: {audiences: ["\(Self.gatewayAudience)"]}
            store: {sqlite: data/daypass.db}
            master_key_file: data/master.key

            """ + issuersAndRules)
        let made = try await RunningProcess(
            Programs.daypassd, ["init", "--config", workspace.path("daypass.yaml")]
        ).outcome()
        try #require(made.status == 0, "\(made.error)")
        process = try Self.serve(workspace, through: wrapper, seconds: seconds)
        guard waits else { return }
        if announcesItself {
            try await Self.waitUntilListening(process)
        } else {
            try await waitUntil("daypassd answers") {
                try #require(process.isRunning, "\(process.error)")
                return await (try? send(.GET, "/healthz"))?.status == 200
            }
        }
    }

    /// Starts once more what has ended, over the same files and at the same addresses.
    init(restarting ended: RunningBroker, seconds: Int = 600) async throws {
        (workspace, origin, telemetry) = (ended.workspace, ended.origin, ended.telemetry)
        process = try Self.serve(workspace, through: [], seconds: seconds)
        try await Self.waitUntilListening(process)
    }

    private static func serve(_ workspace: Workspace, through wrapper: [String], seconds: Int) throws -> RunningProcess
    {
        let command = wrapper + [Programs.daypassd, "serve", "--config", workspace.path("daypass.yaml")]
        return try RunningProcess(command[0], Array(command.dropFirst()), seconds: seconds)
    }

    static func waitUntilListening(_ process: RunningProcess) async throws {
        try await waitUntil("daypassd listens") {
            try #require(process.isRunning, "\(process.error)")
            return process.error.contains(#""listener":"public""#)
        }
    }

    /// The rule and the issuer that most tests need: keys in a file, one repository on main.
    /// - Parameter replay: of the issuer; nil leaves it at the default.
    static func fileIssuer(_ issuer: TestIssuer, in workspace: Workspace, replay: String? = nil) throws -> String {
        try workspace.write("issuer.json", issuer.jwks)
        return """
            issuers:
              - name: github
                issuer: \(issuer.issuer)
                audience: \(audience)
                keys: {file: issuer.json}
                algorithms: [\(issuer.algorithm.rawValue)]
                max_lifetime: 15m\(replay.map { "\n    replay: {mode: \($0)}" } ?? "")
            rules:
              - name: ci-main
                issuer: github
                match: {repository_id: "123456", ref: refs/heads/main}
                grant: {scope: ["anthropic:messages", "anthropic:count_tokens"], ttl: 15m, max_session: 6h}

            """
    }

    /// `POST /oauth/token`, as token exchange, with `parameters` added to or in place of the usual ones.
    func exchange(_ subjectToken: String, _ parameters: [String: String] = [:]) async throws -> Answer {
        let usual = [
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": subjectToken,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        ]
        return try await token(usual.merging(parameters) { $1 }.map { ($0, $1) })
    }

    func verify(_ token: String, scope: String = "anthropic:messages") async throws -> Answer {
        try await send(.GET, "/verify?scope=\(scope)", [("Authorization", "Bearer \(token)")])
    }

}
