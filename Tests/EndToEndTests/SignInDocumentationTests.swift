import Foundation
import Testing

/// What README.md and config/sign-in tell developers and administrators to type, run as it stands there.
@Suite(
    .onOwnThreads, .timeLimit(.minutes(5)),
    .enabled(if: Programs.peerPython != nil, "oidc-provider-mock is not installed: Tests/Peers/install"))
struct `Signing in as documented` {
    private static func block(_ file: String, below heading: String) throws -> String {
        let text = try String(contentsOf: Programs.repository.appending(path: file), encoding: .utf8)
        let section = try #require(text.components(separatedBy: "\n## ").first { $0.hasPrefix("\(heading)\n") })
        let blocks = section.components(separatedBy: "\n```sh\n").dropFirst()
        return try #require(blocks.first?.components(separatedBy: "\n```")[0])
    }

    private static func start(
        _ script: String, in folder: URL, _ variables: [String: String]
    ) throws -> RunningProcess {
        let programs = URL(filePath: Programs.daypass).deletingLastPathComponent().path(percentEncoded: false)
        var all = ["PATH": "\(programs):/usr/bin:/bin"].merging(variables) { $1 }
        all["LD_LIBRARY_PATH"] = ProcessInfo.processInfo.environment["LD_LIBRARY_PATH"]
        return try RunningProcess("/bin/bash", ["-ec", script], in: folder, environment: all)
    }

    @Test(arguments: [("README.md", "A developer signs in"), ("config/sign-in/README.md", "What everybody does then")])
    func `a developer is signed in by the lines that stand there`(file: String, heading: String) async throws {
        let stage = try await CompanyStage()
        let script = try Self.block(file, below: heading)
        try #require(script.contains("https://daypass.example.com"))
        let shell = try Self.start(
            script.replacing("https://daypass.example.com", with: stage.origin), in: stage.workspace.folder,
            ["HOME": stage.workspace.path("home")])
        try await waitUntil("a code is shown") {
            try #require(shell.isRunning, "\(shell.error)")
            return shell.error.contains("Waiting")
        }
        let code = try #require(shell.error.firstMatch(of: /\b([B-Z]{4}-[B-Z]{4})\b/))
        #expect(try await stage.approve(String(code.1)).hasPrefix("200\n"))
        let outcome = try await shell.outcome()
        #expect(outcome.status == 0 && outcome.output.contains("as alice@example.com\n"), "\(outcome)")
        if script.contains("whoami") { #expect(outcome.output.contains("subject      corp-sso:alice\n"), "\(outcome)") }
    }

    @Test func `an administrator's configuration is made and checked by the lines that stand there`() async throws {
        let workspace = try Workspace()
        let shipped = Programs.repository.appending(path: "config/sign-in/daypass.yaml")
        try workspace.write("daypass.yaml", Data(contentsOf: shipped))
        let script = try Self.block("config/sign-in/README.md", below: "At the broker")
        let outcome = try await Self.start(script, in: workspace.folder, ["CLIENT_SECRET": "s3cret"]).outcome()
        #expect(outcome.status == 0 && outcome.output.contains("valid, 1 issuer"), "\(outcome)")
        #expect(!(outcome.output + outcome.error).contains("s3cret"))
        let mode = try FileManager.default.attributesOfItem(atPath: workspace.path("data/sign-in.secret"))[
            .posixPermissions]
        #expect(mode as? Int == 0o600)

        let check = "daypassd check --strict --config daypass.yaml"
        try workspace.write("data/sign-in.secret", Data("two\nlines\n".utf8))
        try FileManager.default.setAttributes(
            [.posixPermissions: 0o600], ofItemAtPath: workspace.path("data/sign-in.secret"))
        let bad = try await Self.start(check, in: workspace.folder, [:]).outcome()
        #expect(bad.status == 1 && bad.error.contains("not a client secret"), "\(bad)")
        // As where a configuration is checked before it is brought to its host.
        try FileManager.default.removeItem(atPath: workspace.path("data/sign-in.secret"))
        let without = try await Self.start(check, in: workspace.folder, [:]).outcome()
        #expect(without.status == 0 && without.error.contains("`daypassd serve` needs it"), "\(without)")
    }
}
