import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

/// A real broker, an issuer that it trusts, and the real `daypass` with an environment of its own.
struct TokenStage: Sendable {
    let broker: RunningBroker
    let issuer: TestIssuer
    var workspace: Workspace { broker.workspace }

    /// - Parameter rules: how the configuration ends.
    init(replay: String = "off", rules: String = "") async throws {
        let workspace = try Workspace()
        issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        let configuration = try RunningBroker.fileIssuer(issuer, in: workspace, replay: replay) + rules
        broker = try await RunningBroker(workspace, issuersAndRules: configuration, admin: "{socket: run/admin.sock}")
    }

    /// An identity token of a job on main.
    func proof(audience: String = RunningBroker.audience, ref: String = "refs/heads/main", at date: Date = Date())
        throws
        -> String
    {
        let claims = issuer.claims(subject: "job", audience: audience, at: date)
        return try issuer.token(
            claims.merging([
                "repository_id": "123456", "ref": .string(ExactString(ref)),
                "jti": .string(ExactString(UUID().uuidString)),
            ]))
    }

    /// Of a developer's machine: a home, the broker, and the audience that it wants.
    var environment: [String: String] {
        [
            "HOME": workspace.path("home"), "DAYPASS_URL": broker.origin, "DAYPASS_AUDIENCE": RunningBroker.audience,
        ]
    }

    /// Makes the home, and an identity token in it.
    func settle() throws {
        try workspace.write("home/identity", proof())
    }

    func daypass(_ arguments: [String], _ more: [String: String?] = [:]) async throws -> RunningProcess.Outcome {
        try await start(arguments, more).outcome()
    }

    /// - Parameter more: what else is set; nil is not set.
    func start(_ arguments: [String], _ more: [String: String?] = [:]) throws -> RunningProcess {
        try Self.start(arguments, environment, more)
    }

    static func start(
        _ arguments: [String], _ usual: [String: String], _ more: [String: String?] = [:]
    ) throws -> RunningProcess {
        var all = usual
        for name in ["PATH", "LD_LIBRARY_PATH"] { all[name] = ProcessInfo.processInfo.environment[name] }
        for (name, value) in more { all[name] = value }
        return try RunningProcess(Programs.daypass, arguments, environment: all)
    }

    /// How many tokens the broker has granted.
    func granted() async throws -> Int {
        let text = try await broker.send(.GET, "\(broker.telemetry)/metrics").body
        let lines = text.split(separator: "\n").filter { $0.hasPrefix("daypass_exchanges_granted_total") }
        return lines.compactMap { $0.split(separator: " ").last.flatMap { Double($0) } }.reduce(0) { $0 + Int($1) }
    }

    func isGood(_ printed: String) async throws -> Bool {
        try #require(printed.hasSuffix("\n") && printed.split(separator: "\n").count == 1, "\(printed)")
        return try await broker.verify(String(printed.dropLast())).status == 200
    }
}
