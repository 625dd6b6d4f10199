import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

/// Claude Code itself, with nothing in its environment but what a test gives it, against a gateway on loopback.
@Suite(
    .onOwnThreads, .timeLimit(.minutes(5)),
    .enabled(if: Programs.claude != nil && Programs.curl != nil, "Claude Code is not installed: Tests/Peers/install"))
struct `Claude Code` {
    /// What prints its tokens.
    enum Helper: CaseIterable, CustomTestStringConvertible {
        case curl
        case daypass

        var testDescription: String { self == .curl ? "config/claude-code/curl-helper" : "daypass token" }

        func line(_ stage: AnthropicStage) -> String {
            switch self {
            case .curl:
                let script = Programs.repository.appending(path: "config/claude-code/curl-helper")
                return "DAYPASS_URL=\(stage.broker.origin) \(script.path(percentEncoded: false)) \(stage.identityToken)"
            case .daypass:
                let libraries = ProcessInfo.processInfo.environment["LD_LIBRARY_PATH"] ?? ""
                return "LD_LIBRARY_PATH=\(libraries) DAYPASS_URL=\(stage.broker.origin) \(Programs.daypass) token "
                    + "--identity file:\(stage.identityToken)"
            }
        }
    }

    private func stage(_ helper: Helper? = nil, through gateway: Gateway? = nil) async throws -> AnthropicStage {
        let stage = try await AnthropicStage(through: gateway)
        try stage.writeIdentityToken()
        try FileManager.default.createDirectory(
            at: stage.workspace.folder.appending(path: "project"), withIntermediateDirectories: true)
        if let helper {
            try stage.workspace.write(
                "home/.claude/settings.json", #"{"apiKeyHelper": "\#(helper.line(stage))"}"#)
        }
        return stage
    }

    /// A command that waits, for a minute at most, until `go` lets it end.
    private static let wait = "touch begun; for i in $(seq 600); do [ -e go ] && break; sleep 0.1; done"

    private func start(_ stage: AnthropicStage, _ variables: [String: String], running command: String? = nil) throws
        -> RunningProcess
    {
        let prompt = command.map { "Do what is asked.\nRun: \($0)" } ?? "ping"
        return try ClaudeCode.start(
            ["-p", prompt] + (command == nil ? [] : ["--allowedTools", "Bash"]), stage.workspace, variables)
    }

    /// Runs a task of two requests, and something between them.
    private func runTask(
        _ stage: AnthropicStage, _ variables: [String: String], between: () async throws -> Void
    ) async throws -> RunningProcess.Outcome {
        let process = try start(stage, variables, running: Self.wait)
        try await waitUntil("the task has begun", within: 60) {
            try #require(process.isRunning, "\(process.output)\(process.error)")
            return FileManager.default.fileExists(atPath: stage.workspace.path("project/begun"))
        }
        try await between()
        try stage.workspace.write("project/go", "")
        return try await process.outcome()
    }

    // MARK: With a helper

    @Test(arguments: Helper.allCases)
    func `sends what its helper prints in both headers, as the gateway takes it`(helper: Helper) async throws {
        let stage = try await stage(helper)
        let outcome = try await start(stage, ["ANTHROPIC_BASE_URL": stage.origin]).outcome()
        #expect(outcome.status == 0 && outcome.output == "pong\n", "\(outcome)")
        #expect(try stage.answers() == ["/v1/messages 200"])
        let headers = try #require(try stage.requests().first?["headers"]?.object)
        let bearer = try #require(try stage.bearers().first)
        #expect(headers["x-api-key"]?.string?.string == bearer)
        #expect(try await stage.broker.verify(bearer).headers.first(name: "Daypass-Rule") == "ci-main")
    }

    @Test(arguments: Helper.allCases)
    func `goes on with another token when its own is revoked in the middle of a task`(helper: Helper) async throws {
        let stage = try await stage(helper)
        let outcome = try await runTask(stage, ["ANTHROPIC_BASE_URL": stage.origin]) {
            try await stage.revoke(try #require(try stage.bearers().first))
        }
        #expect(outcome.status == 0 && outcome.output == "pong\n", "\(outcome)")
        // What `daypass token` checked less than two seconds ago it prints once more, and is asked again.
        let answers = try stage.answers()
        #expect(answers.first == "/v1/messages 200" && answers.last == "/v1/messages 200", "\(answers)")
        let refused = answers.dropFirst().dropLast()
        #expect(!refused.isEmpty && refused.allSatisfy { $0 == "/v1/messages 401" }, "\(answers)")
        let bearers = try stage.bearers()
        #expect(Set(bearers.dropLast()).count == 1 && bearers.first != bearers.last)
    }

    @Test(arguments: Helper.allCases)
    func `stops when its subject is blocked in the middle of a task, and says why`(helper: Helper) async throws {
        let stage = try await stage(helper)
        let outcome = try await runTask(stage, ["ANTHROPIC_BASE_URL": stage.origin]) {
            try await stage.block(try #require(try stage.bearers().first))
        }
        #expect(outcome.status == 1 && outcome.output.contains("apiKeyHelper script is failing"), "\(outcome)")
        // The broker's words reach the person, with what `daypass explain` takes; no token does.
        #expect(outcome.error.contains(/trace [0-9a-f]{32}/), "\(outcome.error)")
        #expect(!(outcome.output + outcome.error).contains("eyJ"))
        let answers = try stage.answers()
        #expect(answers.first == "/v1/messages 200")
        #expect(answers.dropFirst().allSatisfy { $0 == "/v1/messages 401" } && answers.count > 1, "\(answers)")
    }

    @Test(arguments: [
        ("ANTHROPIC_API_KEY", true), ("ANTHROPIC_AUTH_TOKEN", true), ("ANTHROPIC_API_KEY", false),
        ("ANTHROPIC_AUTH_TOKEN", false), ("CLAUDE_CODE_OAUTH_TOKEN", false),
    ])
    func `is refused with a stray credential, which doctor names`(name: String, hasHelper: Bool) async throws {
        let stage = try await stage(hasHelper ? .curl : nil)
        let stray = "sk-ant-stray-0123456789"
        var variables = hasHelper ? ["ANTHROPIC_BASE_URL": stage.origin] : stage.federation()
        variables[name] = stray
        // It retries for minutes: the first refusal is enough.
        let process = try start(stage, variables)
        try await waitUntil("a request is refused", within: 60) { try stage.answers().contains("/v1/messages 401") }
        process.signal(SIGKILL)
        #expect(try !stage.answers().contains("/v1/messages 200"))

        variables["HOME"] = stage.workspace.path("home")
        let doctor = try await AdministeredBroker.daypass(
            ["doctor", "--url", stage.broker.origin, "--audience", RunningBroker.audience], variables,
            in: stage.workspace.folder)
        #expect(doctor.status == 1 && doctor.error == "daypass: 1 problem\n", "\(doctor)")
        #expect(
            doctor.output.contains(
                """
                problem  variables: \(name) is set in the environment, and is sent in place of the gateway token
                         do: unset \(name)

                """), "\(doctor.output)")
        #expect(!doctor.output.contains(stray))
    }

    // MARK: With no helper

    @Test(arguments: [false, true])
    func `federates without a helper, from variables or a profile`(hasProfile: Bool) async throws {
        let stage = try await stage()
        let variables = hasProfile ? try stage.installProfile() : stage.federation()
        let outcome = try await start(stage, variables).outcome()
        #expect(outcome.status == 0 && outcome.output == "pong\n", "\(outcome)")
        #expect(try stage.answers() == ["/v1/oauth/token 200", "/v1/messages 200"])
        #expect(try stage.requests().last?["headers"]?.object?["x-api-key"] == nil)
        let bearer = try #require(try stage.bearers().first)
        #expect(try await stage.broker.verify(bearer).headers.first(name: "Daypass-Rule") == "sdk")
        // doctor goes the same way, through the gateway.
        let home = variables.merging(["HOME": stage.workspace.path("home")]) { $1 }
        let doctor = try await AdministeredBroker.daypass(["doctor"], home, in: stage.workspace.folder)
        #expect(doctor.status == 0 && doctor.output.contains("ok       token: rule sdk grants"), "\(doctor)")
        let paths = try stage.answers()
        #expect(paths.last == "/v1/oauth/token 200" && paths.count == 3)
        try stage.writeIdentityToken(ref: "refs/heads/other")
        let refused = try await AdministeredBroker.daypass(["doctor"], home, in: stage.workspace.folder)
        #expect(refused.status == 1 && refused.output.contains("problem  token: "), "\(refused)")
    }

    @Test(.enabled(if: Programs.nginx != nil, "nginx is not installed: nginx-light"))
    func `federates through nginx as config/integrations has it`() async throws {
        let stage = try await stage(through: .nginx)
        let outcome = try await start(stage, stage.federation()).outcome()
        #expect(outcome.status == 0 && outcome.output == "pong\n", "\(outcome)")
        // What the provider's API sees: no exchange, and no token.
        #expect(try stage.answers() == ["/v1/messages 200"])
        let headers = try #require(try stage.requests().last?["headers"]?.object)
        #expect(headers["daypass-rule"] == "sdk" && headers["daypass-scope"] == "anthropic:messages")
        #expect(headers["authorization"] == nil && headers["x-api-key"] == nil)
    }

    @Test(.enabled(if: Programs.nginx != nil, "nginx is not installed: nginx-light"))
    func `stops when it is refused through nginx, with the broker's words`() async throws {
        let stage = try await stage(through: .nginx)
        try stage.writeIdentityToken(ref: "refs/heads/feature")
        let outcome = try await start(stage, stage.federation()).outcome()
        #expect(outcome.status == 1 && outcome.output.contains("invalid_grant"), "\(outcome)")
        #expect(outcome.output.contains(/trace [0-9a-f]{32}/), "\(outcome.output)")
        #expect(try stage.answers() == [])
    }

    @Test func `exchanges again when its token is revoked in the middle of a task, and goes on`() async throws {
        let stage = try await stage()
        let outcome = try await runTask(stage, stage.federation()) {
            try await stage.revoke(try #require(try stage.bearers().first))
        }
        #expect(outcome.status == 0 && outcome.output == "pong\n", "\(outcome)")
        #expect(
            try stage.answers() == [
                "/v1/oauth/token 200", "/v1/messages 200", "/v1/messages 401", "/v1/oauth/token 200",
                "/v1/messages 200",
            ])
    }

    @Test func `stops when the exchange is refused in the middle of a task, with the broker's words`() async throws {
        let stage = try await stage()
        let outcome = try await runTask(stage, stage.federation()) {
            try await stage.block(try #require(try stage.bearers().first))
        }
        #expect(outcome.status == 1 && outcome.output.contains("invalid_grant"), "\(outcome)")
        #expect(outcome.output.contains(/trace [0-9a-f]{32}/), "\(outcome.output)")
        #expect(!(outcome.output + outcome.error).contains("eyJ"))
        let answers = try stage.answers()
        #expect(answers.prefix(2) == ["/v1/oauth/token 200", "/v1/messages 200"])
        #expect(answers.dropFirst(2).allSatisfy { $0.hasSuffix(" 401") } && answers.count > 2, "\(answers)")
    }
}

enum ClaudeCode {
    /// Runs it with no more than it needs to run at all, and what it must not do.
    static func start(_ arguments: [String], _ workspace: Workspace, _ variables: [String: String]) throws
        -> RunningProcess
    {
        let usual = [
            "HOME": workspace.path("home"), "PATH": "/usr/bin:/bin", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_TELEMETRY": "1", "DISABLE_AUTOUPDATER": "1",
        ]
        return try RunningProcess(
            try #require(Programs.claude), arguments, in: workspace.folder.appending(path: "project"),
            environment: usual.merging(variables) { $1 }, seconds: 90)
    }
}
