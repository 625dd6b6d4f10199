import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

@testable import DaypassCommand

/// What `daypass doctor` says is what the client then meets.
@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `daypass doctor, as the helper does` {
    /// With a folder elsewhere, in which everything is run.
    private func stage(_ settings: String? = nil) async throws -> TokenStage {
        let stage = try await TokenStage()
        try stage.settle()
        try stage.workspace.write("elsewhere/x", "")
        if let settings { try stage.workspace.write("home/.claude/settings.json", settings) }
        return stage
    }

    private func doctor(
        _ stage: TokenStage, _ arguments: [String] = [], _ variables: [String: String] = [:]
    ) async throws -> RunningProcess.Outcome {
        let home = ["HOME": stage.workspace.path("home")]
        return try await AdministeredBroker.daypass(
            ["doctor"] + arguments, home.merging(variables) { $1 },
            in: stage.workspace.folder.appending(path: "elsewhere"))
    }

    private func helper(_ stage: TokenStage, _ origin: String? = nil) -> String {
        let line =
            "DAYPASS_URL=\(origin ?? stage.broker.origin) \(Programs.daypass) token "
            + "--identity file:\(stage.workspace.path("home/identity")) --audience \(RunningBroker.audience)"
        return #"{"apiKeyHelper": "\#(line)", "env": {"ANTHROPIC_BASE_URL": "https://gateway.example.com"}}"#
    }

    @Test func `needs to be told nothing after daypass setup, wherever it is run`() async throws {
        let stage = try await stage()
        let home = ["HOME": stage.workspace.path("home"), "DAYPASS_AUDIENCE": RunningBroker.audience]
        let made = try await AdministeredBroker.daypass(
            [
                "setup", "claude-code", "--yes", "--gateway", "https://gateway.example.com", "--url",
                stage.broker.origin, "--identity", "file:identity",
            ], home, in: stage.workspace.folder.appending(path: "home"))
        try #require(made.status == 0, "\(made)")
        let outcome = try await doctor(stage)
        #expect(outcome.status == 0 && outcome.error == "", "\(outcome)")
        #expect(outcome.output.contains("ok       token: rule ci-main grants anthropic:messages "), "\(outcome)")
        #expect(!outcome.output.contains("eyJ"))
        // The broker is asked: whoever may not have a token is told so.
        try stage.workspace.write("home/identity", try stage.proof(ref: "refs/heads/other"))
        let refused = try await doctor(stage)
        #expect(refused.status == 1 && refused.output.contains("problem  token: "), "\(refused)")
        #expect(refused.output.contains(/no rule grants.*trace [0-9a-f]{32}/), "\(refused)")
    }

    @Test func `asks the broker that the helper asks, and tells where a flag names another`() async throws {
        let stage = try await stage()
        let port = try Workspace.freePort()
        try stage.workspace.write("home/.claude/settings.json", helper(stage, "http://127.0.0.1:\(port)"))
        let outcome = try await doctor(stage, [], ["DAYPASS_URL": stage.broker.origin])
        #expect(outcome.status == 69 && outcome.error.contains("127.0.0.1:\(port): Connection refused"), "\(outcome)")
        let named = try await doctor(stage, ["--url", stage.broker.origin])
        #expect(
            named.status == 1 && named.output.contains("the helper asks http://127.0.0.1:\(port), and not"), "\(named)")
        #expect(named.output.contains("ok       token: rule ci-main"))
    }

    @Test func `finds no identity where the helper would find none, and files that are elsewhere`() async throws {
        let stage = try await stage()
        try stage.workspace.write(
            "home/.claude/settings.json", #"{"apiKeyHelper": "\#(Programs.daypass) token --identity file:identity"}"#)
        let variables = ["DAYPASS_URL": stage.broker.origin, "ANTHROPIC_BASE_URL": "https://gateway.example.com"]
        let relative = try await doctor(stage, [], variables)
        #expect(relative.output.contains("warning  helper: "), "\(relative)")
        #expect(
            relative.status == 1 && relative.output.contains("problem  identity: identity: No such file"), "\(relative)"
        )
        try stage.workspace.write(
            "home/.claude/settings.json", #"{"apiKeyHelper": "\#(Programs.daypass) token"}"#)
        let none = try await doctor(stage, [], variables)
        #expect(none.status == 1 && none.output.contains("problem  identity: there is no identity here"), "\(none)")
    }

    @Test func `sends no identity to where a folder's settings say`() async throws {
        let stage = try await stage()
        try stage.workspace.write("elsewhere/.claude/settings.json", helper(stage))
        let before = try await stage.granted()
        let outcome = try await doctor(stage)
        #expect(outcome.status == 0 && outcome.output.contains("warning  token: none was asked for"), "\(outcome)")
        #expect(try await stage.granted() == before)
        // Nor which identity, where he names the broker himself, nor by whose word that is the broker.
        let own = ["DAYPASS_URL": stage.broker.origin]
        let all = ["--identity", "file:\(stage.workspace.path("home/identity"))", "--audience", RunningBroker.audience]
        #expect(try await doctor(stage, [], own).output.contains("warning  token: none was asked for"))
        try stage.workspace.write(
            "elsewhere/.claude/settings.json", #"{"apiKeyHelper": "\#(Programs.daypass) token --ca-file evil.pem"}"#)
        #expect(try await doctor(stage, all, own).output.contains("warning  token: none was asked for"))
        #expect(try await stage.granted() == before)
        try stage.workspace.write("elsewhere/.claude/settings.json", helper(stage))
        let named = try await doctor(stage, all, own)
        #expect(named.status == 0 && named.output.contains("ok       token: "), "\(named)")
    }

    @Test func `asks for no identity token where a folder's settings say`() async throws {
        let stage = try await stage()
        let port = try Workspace.freePort()
        let line =
            "ACTIONS_ID_TOKEN_REQUEST_URL=http://127.0.0.1:\(port)/x DAYPASS_URL=\(stage.broker.origin) "
            + "\(Programs.daypass) token --identity github"
        let settings = #"{"apiKeyHelper": "\#(line)"}"#
        let variables = ["DAYPASS_URL": stage.broker.origin, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "job-secret"]
        try stage.workspace.write("elsewhere/.claude/settings.json", settings)
        let project = try await doctor(stage, [], variables)
        #expect(project.output.contains("warning  token: none was asked for"), "\(project)")
        #expect(!project.output.contains("GitHub"), "\(project)")
        // Where he has written it himself, it is asked.
        try FileManager.default.removeItem(atPath: stage.workspace.path("elsewhere/.claude/settings.json"))
        try stage.workspace.write("home/.claude/settings.json", settings)
        let own = try await doctor(stage, [], variables)
        #expect(own.output.contains("cannot be asked: http://127.0.0.1:\(port): Connection refused"), "\(own)")
    }

    // MARK: Tokens in variables

    @Test(arguments: ["ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY"])
    func `a gateway token in a variable is no good beside a helper, nor when it is revoked`(name: String) async throws {
        let stage = try await stage()
        let identity = "file:\(stage.workspace.path("home/identity"))"
        let held = try await stage.daypass(["token", "--identity", identity]).output
        let token = String(held.dropLast())
        let variables = [
            name: token, "DAYPASS_URL": stage.broker.origin, "ANTHROPIC_BASE_URL": "https://gateway.example.com",
            "DAYPASS_AUDIENCE": RunningBroker.audience, "DAYPASS_IDENTITY": identity,
        ]
        let alone = try await doctor(stage, [], variables)
        #expect(alone.status == 0 && alone.output.contains("is a gateway token, which ends at"), "\(alone)")
        try stage.workspace.write("home/.claude/settings.json", helper(stage))
        let beside = try await doctor(stage, [], variables)
        #expect(
            beside.status == 1 && beside.output.contains("problem  variables: \(name) in the environment"), "\(beside)")
        try FileManager.default.removeItem(atPath: stage.workspace.path("home/.claude/settings.json"))
        let form = ("Content-Type", "application/x-www-form-urlencoded")
        let revoked = try await stage.broker.send(
            .POST, "/oauth/revoke", [form], body: RunningBroker.form([("token", token)]))
        try #require(revoked.status == 200)
        let stale = try await doctor(stage, [], variables)
        #expect(stale.status == 1 && stale.output.contains("the broker takes it no more"), "\(stale)")
        #expect(!(alone.output + beside.output + stale.output).contains("eyJ"))
    }

    @Test(arguments: ["1e300", "-1", "\"x\"", nil] as [String?])
    func `a forged token in a variable is none that ends some day`(end: String?) async throws {
        let stage = try await stage()
        let claims = #"{"iss":"\#(stage.broker.origin)"\#(end.map { ",\"exp\":\($0)" } ?? "")}"#
        let forged = "eyJhbGciOiJFUzI1NiJ9.\(Base64URL.encode(Array(claims.utf8))).c2ln"
        let outcome = try await doctor(
            stage, ["--no-token"], ["ANTHROPIC_AUTH_TOKEN": forged, "DAYPASS_URL": stage.broker.origin])
        #expect(outcome.status == 1 && outcome.output.contains("that does not say when it ends"), "\(outcome)")
    }

    // MARK: Settings of a machine

    @Test func `the machine's settings win, the last of their parts first`() throws {
        let workspace = try Workspace()
        try workspace.write("managed/managed-settings.json", #"{"apiKeyHelper": "a", "forceLoginMethod": "console"}"#)
        try workspace.write("managed/managed-settings.d/10.json", #"{"apiKeyHelper": "b"}"#)
        try workspace.write("managed/managed-settings.d/20.json", #"{"apiKeyHelper": "c"}"#)
        // Of which one name only looks like the other.
        try workspace.write("managed/managed-settings.d/25.json", "{\"api\u{212A}eyHelper\": \"d\"}")
        try workspace.write("managed/managed-settings.d/30.txt", #"{"apiKeyHelper": "e"}"#)
        try workspace.write("home/.claude/settings.json", #"{"apiKeyHelper": "f", "forceLoginMethod": "console"}"#)
        let settings = ClaudeCodeSettings.all(
            ["HOME": workspace.path("home")], managed: workspace.path("managed"))
        #expect(settings.compactMap(\.helper) == ["c", "b", "a", "f"])
        let variables = ClientVariables(environment: [:], settings: settings)
        let findings = ClaudeCodeFindings(variables, nil, isFederating: true).findings
        #expect(findings.map(\.words).filter { $0.hasPrefix("forceLoginMethod") }.count == 1)
    }

    /// The variables, the program and its arguments; nil where it takes a shell to say.
    @Test(
        arguments: [
            ("daypass token", "|daypass|token"), ("A=b 'C=d' x", "A=b|C=d|x"), ("A='b c' \"d e\" f''g", "A=b c|d e|fg"),
            ("exec /usr/bin/env A=b 'C=d' x y", "A=b C=d|x|y"), ("command x", "|x|"), ("~/a '~/b'", "|/h/a|~/b"),
            ("~u/a", nil), ("A=~/x y", nil), ("env -i x", nil), ("a | b", nil), ("\"$x\"", nil), ("'a", nil), ("", nil),
            ("A=b", nil), ("exec", nil),
        ] as [(String, String?)])
    func `a helper's line is read as the shell reads it, or not at all`(line: String, parts: String?) {
        let read = ShellLine(line, home: "/h").map { line in
            let variables = line.variables.sorted { $0.key < $1.key }.map { "\($0)=\($1)" }.joined(separator: " ")
            return "\(variables)|\(line.program)|\(line.arguments.joined(separator: " "))"
        }
        #expect(read == parts)
    }
}
