import Foundation
import JOSE
import Testing

/// A developer's machine with an empty home, and a scripted broker.
struct SignInStage: Sendable {
    let workspace: Workspace
    let origin: String
    private let broker: RunningProcess

    /// - Parameter script: of Tests/Peers/sign-in-broker.py, in JSON.
    init(_ script: String = "{}") async throws {
        let workspace = try Workspace()
        try workspace.write("script.json", script)
        try workspace.write("home/x", "")
        let port = try Workspace.freePort()
        let program = Programs.repository.appending(path: "Tests/Peers/sign-in-broker.py").path(percentEncoded: false)
        let broker = try RunningProcess(
            try #require(Programs.python), [program, "\(port)", workspace.path("script.json")])
        try await waitUntil("the broker listens") {
            try #require(broker.isRunning, "\(broker.error)")
            return Workspace.isListening(port)
        }
        (self.workspace, origin, self.broker) = (workspace, "http://127.0.0.1:\(port)", broker)
    }

    /// What is answered from now on.
    func script(_ script: String) throws { try workspace.write("script.json", script) }

    /// - Parameter more: what else is set; nil is not set.
    func start(_ arguments: [String], _ more: [String: String?] = [:]) throws -> RunningProcess {
        try TokenStage.start(arguments, ["HOME": workspace.path("home"), "DAYPASS_URL": origin], more)
    }

    func daypass(_ arguments: [String], _ more: [String: String?] = [:]) async throws -> RunningProcess.Outcome {
        try await start(arguments, more).outcome()
    }

    func login(_ more: [String: String?] = [:]) async throws {
        let outcome = try await daypass(["login"], more)
        try #require(outcome.status == 0, "\(outcome)")
    }

    /// Asks for more than any token lasts: a new one has to be got.
    static let anew = ["token", "--min-ttl", "20m"]

    /// The requests so far: each its path and what of its form is no secret.
    var requests: [[String: String]] {
        get throws {
            try broker.output.split(separator: "\n").map { line in
                try JSONDecoder().decode([String: String].self, from: Data(line.utf8))
            }
        }
    }

    var refreshes: Int {
        get throws { try requests.count { $0["grant_type"] == "refresh_token" } }
    }

    /// The file of the sign-in.
    var kept: String? {
        let folder = workspace.path("home/.local/state/daypass")
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.first { $0.hasSuffix(".login") }.map { "\(folder)/\($0)" }
    }

    var keptText: String {
        get throws { try String(contentsOfFile: #require(kept), encoding: .utf8) }
    }

    /// A program of this name in front of all others on the path.
    /// - Returns: the variables that have it there.
    func program(_ name: String, _ script: String) throws -> [String: String?] {
        try workspace.write("bin/\(name)", "#!/bin/sh\n\(script)\n")
        chmod(workspace.path("bin/\(name)"), 0o755)
        return ["PATH": "\(workspace.path("bin")):\(ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin")"]
    }
}
