import Foundation
import JOSE
import Testing

/// Claude Code's own sign-in to a gateway, in a terminal, against the real broker: no helper, and nothing of it on this machine
/// but what the administrator's managed settings say.
@Suite(
    .onOwnThreads, .timeLimit(.minutes(5)),
    .enabled(
        if: Programs.claude != nil && Programs.peerPython != nil, "Claude Code is not installed: Tests/Peers/install"),
    .enabled(if: Programs.tmux != nil, "tmux is not installed"),
    .enabled("managed settings have to be mounted") { try await SmallDisk.isPossible() })
struct `Claude Code's own sign-in` {
    /// One program in a terminal of 110 columns, with managed settings in /etc for it alone.
    private final class Terminal {
        private let workspace: Workspace
        private let server: RunningProcess
        private let socket: String

        init(_ workspace: Workspace, _ gateway: String) async throws {
            self.workspace = workspace
            socket = workspace.path("tmux")
            try workspace.write(
                "managed-settings.json", #"{"forceLoginMethod": "gateway", "forceLoginGatewayUrl": "\#(gateway)"}"#)
            try workspace.write("project/x", "")
            // A copy of /etc that nobody else sees: the folder of managed settings cannot be another.
            try workspace.write(
                "claude",
                """
                #!/bin/sh
                mkdir -p etc && cp -a /etc/. etc/ 2> /dev/null
                mkdir -p etc/claude-code && cp managed-settings.json etc/claude-code/
                mount --bind etc /etc || exit 3
                cd project && exec env -i HOME="\(workspace.path("home"))" PATH=/usr/bin:/bin TERM=xterm-256color LANG=C.UTF-8 \\
                    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 DISABLE_TELEMETRY=1 DISABLE_AUTOUPDATER=1 \\
                    "\(try #require(Programs.claude))" "$@"
                """)
            let command = "cd '\(workspace.path(""))' && exec unshare -Urm sh claude"
            // In the foreground: it is this test's child, and ends with it.
            server = try RunningProcess(
                try #require(Programs.tmux), ["-S", socket, "-f", "/dev/null", "-D"], seconds: 240)
            try await waitUntil("tmux serves") { FileManager.default.fileExists(atPath: self.socket) }
            try await tmux(["new-session", "-d", "-x", "110", "-y", "50", command])
        }

        @discardableResult
        private func tmux(_ arguments: [String]) async throws -> String {
            let outcome = try await RunningProcess(
                try #require(Programs.tmux), ["-S", socket] + arguments
            ).outcome()
            try #require(outcome.status == 0, "\(outcome)")
            return outcome.output
        }

        func type(_ keys: String...) async throws { try await tmux(["send-keys"] + keys) }

        /// What it shows, once that has these words.
        func screen(with words: String) async throws -> String {
            var shown = ""
            do {
                try await waitUntil("the terminal shows: \(words)", within: 60) {
                    shown = try await tmux(["capture-pane", "-p"])
                    return shown.contains(words)
                }
            } catch {
                Issue.record("\(error): \(shown)")
                throw error
            }
            return shown
        }

        /// Chooses the line with the arrow that begins like this, of two.
        func choose(_ line: String) async throws {
            let shown = try await screen(with: line)
            if !shown.contains("❯ \(line)") { try await type("Up") }
            _ = try await screen(with: "❯ \(line)")
            try await type("Enter")
        }

        /// Without a terminal.
        func run(_ arguments: String...) async throws -> RunningProcess.Outcome {
            try await RunningProcess(
                "/usr/bin/env", ["unshare", "-Urm", "sh", "claude"] + arguments, in: workspace.folder, seconds: 90
            ).outcome()
        }

        func close() { server.signal(SIGKILL) }
    }

    @Test func `shows the broker's code, has a token once a person has approved, and ends the session at its sign-out`()
        async throws
    {
        let stage = try await CompanyStage()
        let terminal = try await Terminal(stage.workspace, stage.origin)
        defer { terminal.close() }
        _ = try await terminal.screen(with: "Choose the text style")
        try await terminal.type("Enter")
        #expect(try await terminal.screen(with: "Enter to connect").contains(stage.origin))
        try await terminal.type("Enter")
        try await terminal.choose("Yes, trust this gateway")

        let shown = try await terminal.screen(with: "Waiting for sign-in")
        #expect(shown.contains("\(stage.origin)/device"))
        let code = try #require(shown.firstMatch(of: /\b([B-Z]{4}-[B-Z]{4})\b/), "\(shown)")
        let page = try await stage.approve(String(code.1))
        #expect(page.contains("Claude Code\nis signed in as\nalice@example.com"), "\(page)")

        _ = try await terminal.screen(with: "Signed in to Cloud gateway as alice@example.com")
        try await terminal.choose("Yes, continue")
        _ = try await terminal.screen(with: "Connected to Cloud gateway")
        let kept = try Data(contentsOf: URL(filePath: stage.workspace.path("home/.claude/.credentials.json")))
        let gateway = try #require(try JSONReader.readObject(Array(kept))["enterpriseGateway"]?.object)
        let token = try #require(gateway["jwt"]?.string?.string)
        #expect(try await stage.isGood(token + "\n"))
        // As the metadata has them.
        #expect(gateway["tokenEndpoint"]?.string?.string == "\(stage.origin)/oauth/token")
        #expect(gateway["revocationEndpoint"]?.string?.string == "\(stage.origin)/oauth/revoke")
        #expect(gateway["email"] == "alice@example.com" && gateway["idpRefreshToken"]?.string != nil)

        let status = try await terminal.run("auth", "status")
        #expect(status.output.contains(#""apiProvider": "gateway""#), "\(status)")
        let out = try await terminal.run("auth", "logout")
        #expect(out.status == 0, "\(out)")
        #expect(try await !stage.isGood(token + "\n"))
    }
}
