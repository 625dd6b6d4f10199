import Foundation
import JOSE
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `daypass setup` {
    private static let usual = ["--gateway", "https://gateway.example.com", "--url", "https://daypass.example.com"]
    private static let helper = "DAYPASS_URL=https://daypass.example.com \(program) token"
    /// As /proc names it.
    private static let program = URL(filePath: Programs.daypass).resolvingSymlinksInPath().path(percentEncoded: false)

    private func setup(
        _ client: String, _ arguments: [String], _ workspace: Workspace, _ environment: [String: String] = [:]
    ) async throws -> RunningProcess.Outcome {
        let home = ["HOME": String(workspace.path("").dropLast())]
        return try await AdministeredBroker.daypass(
            ["setup", client] + Self.usual + arguments, home.merging(environment) { $1 }, in: workspace.folder)
    }

    private func text(_ workspace: Workspace, _ name: String) throws -> String {
        // Foundation's own reading of text would take a byte order mark away.
        String(decoding: try Data(contentsOf: URL(filePath: workspace.path(name))), as: UTF8.self)
    }

    @Test(arguments: [
        ("claude-code", "config/claude-code/managed-settings.json"), ("codex", "config/codex/config.toml"),
    ])
    func `prints what stands in config, and changes nothing`(client: String, file: String) async throws {
        let workspace = try Workspace()
        let gateway = client == "codex" ? ["--gateway", "https://gateway.example.com/v1"] : []
        let arguments = Array(Self.usual.dropFirst(gateway.count)) + gateway + ["--print"]
        let outcome = try await AdministeredBroker.daypass(
            ["setup", client] + arguments, ["HOME": workspace.folder.path(percentEncoded: false)])
        let shipped = try String(contentsOf: Programs.repository.appending(path: file), encoding: .utf8)
        #expect(outcome.status == 0 && outcome.error == "", "\(outcome)")
        #expect(outcome.output.replacing(Self.program, with: "/usr/local/bin/daypass") == shipped)
        #expect(try FileManager.default.contentsOfDirectory(atPath: workspace.path("")).isEmpty)
    }

    @Test func `makes Claude Code's settings for their owner alone, says what, and finds them done the next time`()
        async throws
    {
        let workspace = try Workspace()
        let made = try await setup("claude-code", ["--yes"], workspace)
        #expect(made.status == 0 && made.output == "", "\(made)")
        let file = workspace.path(".claude/settings.json")
        #expect(
            made.error == """
                \(file) (new)
                + apiKeyHelper: \(Self.helper)
                + env.ANTHROPIC_BASE_URL: https://gateway.example.com
                + env.CLAUDE_CODE_API_KEY_HELPER_TTL_MS: 300000
                written; daypass doctor checks it

                """)
        #expect(try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int == 0o600)
        let folder = try FileManager.default.attributesOfItem(atPath: workspace.path(".claude"))
        #expect(folder[.posixPermissions] as? Int == 0o700)
        let again = try await setup("claude-code", ["--yes"], workspace)
        #expect(again.status == 0 && again.error == "\(file) is set up already\n", "\(again)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: workspace.path(".claude")) == ["settings.json"])
    }

    /// Before, and after; H stands for the helper.
    private static let edits: [(String, String)] = [
        ("", "{\n  \"apiKeyHelper\": \"H\",\n  \"env\": {\n    \(variables("    "))\n  }\n}\n"),
        (
            "{\n    \"model\": \"opus\",\n    \"env\": {\n        \"A\": \"x\"\n    },\n    \"z\": [1, {\"env\": \"}\"}],\n    \"b\": 1.0e0\n}",
            "{\n    \"model\": \"opus\",\n    \"env\": {\n        \"A\": \"x\",\n        \(variables("        "))\n    },\n"
                + "    \"z\": [1, {\"env\": \"}\"}],\n    \"b\": 1.0e0,\n    \"apiKeyHelper\": \"H\"\n}"
        ),
        (
            "{\"env\":{},\"apiKeyHelper\":\"old\",\"q\":\"\\\"}\\\\\"}\n",
            "{\"env\":{\n    \(variables("    "))\n  },\"apiKeyHelper\":\"H\",\"q\":\"\\\"}\\\\\"}\n"
        ),
        (
            "{\"\\u0061piKeyHelper\": \"old\", \"env\": {\"ANTHROPIC_BASE_URL\" : \"o\"}}",
            "{\"\\u0061piKeyHelper\": \"H\", \"env\": {\"ANTHROPIC_BASE_URL\" : \"https://gateway.example.com\", "
                + "\"CLAUDE_CODE_API_KEY_HELPER_TTL_MS\": \"300000\"}}"
        ),
    ]

    private static func variables(_ indent: String) -> String {
        "\"ANTHROPIC_BASE_URL\": \"https://gateway.example.com\",\n\(indent)"
            + "\"CLAUDE_CODE_API_KEY_HELPER_TTL_MS\": \"300000\""
    }

    @Test(arguments: edits) func `keeps other settings, their order and how they are written`(
        before: String, after: String
    ) async throws {
        let workspace = try Workspace()
        try workspace.write("dotfiles/claude.json", before)
        try workspace.write(".claude/other", "")
        // A link stays one.
        let link = workspace.path(".claude/settings.json")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "../dotfiles/claude.json")
        chmod(workspace.path("dotfiles/claude.json"), 0o640)
        let made = try await setup("claude-code", ["--yes"], workspace)
        #expect(made.status == 0, "\(made)")
        #expect(try text(workspace, "dotfiles/claude.json") == after.replacing("\"H\"", with: "\"\(Self.helper)\""))
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == "../dotfiles/claude.json")
        let attributes = try FileManager.default.attributesOfItem(atPath: workspace.path("dotfiles/claude.json"))
        #expect(attributes[.posixPermissions] as? Int == 0o640)
    }

    @Test(arguments: [
        "{\"a\": 1,}", "{\"a\": 1} // mine", "[]", "{\"env\": []}", "{\"env\": \"x\"}", "nonsense", "{\"a\": 1",
        "{\"apiKeyHelper\": \"a\", \"apiKeyHelper\": \"b\"}", "{\"env\": {}, \"\\u0065nv\": {}}", "\u{FEFF}{}",
        "{\"env\": {\"A\": \"1\", \"A\": \"2\"}}",
    ]) func `leaves alone what it cannot read`(before: String) async throws {
        let workspace = try Workspace()
        try workspace.write(".claude/settings.json", before)
        let refused = try await setup("claude-code", ["--yes"], workspace)
        #expect(refused.status == 1 && refused.error.contains("nothing was changed. --print shows"), "\(refused)")
        #expect(try text(workspace, ".claude/settings.json") == before)
    }

    /// What is there as the gateway, and what is shown of it.
    @Test(arguments: [
        ("https://old.example.com", "https://old.example.com"),
        ("https://old.example.com/v1/k", "https://old.example.com/…"),
        ("https://joe:s3cr3t@old.example.com", "(another value)"), ("https://old.example.com/?k=v", "(another value)"),
        ("AbC/defGHIjkl+mnoPQR/stuVWX==", "(another value)"), ("", "(another value)"),
    ])
    func `shows where requests went before, and nothing that could be a key`(old: String, shown: String) async throws {
        let workspace = try Workspace()
        let key = "hunter2"
        try workspace.write(
            ".claude/settings.json",
            #"{"apiKeyHelper": "curl -u joe:\#(key)", "env": {"ANTHROPIC_API_KEY": "\#(key)", "ANTHROPIC_BASE_URL": "\#(old)"}}"#
        )
        let made = try await setup("claude-code", ["--yes"], workspace)
        #expect(made.status == 0 && made.error.contains("- apiKeyHelper: (another value)\n"), "\(made)")
        #expect(made.error.contains("- env.ANTHROPIC_BASE_URL: \(shown)\n"), "\(made)")
        #expect(!made.error.contains(key))
        #expect(made.error.contains("warning: ANTHROPIC_API_KEY is set"))
        #expect(try text(workspace, ".claude/settings.json").contains(#""ANTHROPIC_API_KEY": "\#(key)""#))
    }

    @Test func `changes no setting that only looks like one of ours`() async throws {
        let workspace = try Workspace()
        let other = "\"api\u{212A}eyHelper\": \"\(Self.helper)\""
        try workspace.write(".claude/settings.json", "{\(other)}")
        let made = try await setup("claude-code", ["--yes"], workspace)
        #expect(made.status == 0 && made.error.contains("+ apiKeyHelper: "), "\(made)")
        let after = try text(workspace, ".claude/settings.json")
        #expect(after.contains(other) && after.contains("\"apiKeyHelper\": \"\(Self.helper)\""), "\(after)")
    }

    // MARK: The file

    @Test func `leaves a file to its owner, with its mode`() async throws {
        let workspace = try Workspace()
        try workspace.write(".claude/settings.json", "{}")
        let file = workspace.path(".claude/settings.json")
        chmod(file, 0o640)
        // Another owner's can only be made by root; whoever else runs this has his own.
        let owner = geteuid() == 0 ? 65_534 : geteuid()
        try #require(chown(file, owner, owner == geteuid() ? getegid() : 65_534) == 0)
        #expect(try await setup("claude-code", ["--yes"], workspace).status == 0)
        let after = try FileManager.default.attributesOfItem(atPath: file)
        #expect(after[.ownerAccountID] as? Int == Int(owner) && after[.posixPermissions] as? Int == 0o640, "\(after)")
        #expect(geteuid() != 0 || after[.groupOwnerAccountID] as? Int == 65_534)
    }

    @Test func `refuses a file that is read-only, a link that leads nowhere, and what is no file`() async throws {
        let workspace = try Workspace()
        let file = workspace.path(".claude/settings.json")
        try workspace.write(".claude/settings.json", "{}")
        chmod(file, 0o444)
        let readOnly = try await setup("claude-code", ["--yes"], workspace)
        #expect(readOnly.status == 1 && readOnly.error.contains("read-only; nothing was changed"), "\(readOnly)")
        #expect(try text(workspace, ".claude/settings.json") == "{}")
        try FileManager.default.removeItem(atPath: file)
        try FileManager.default.createSymbolicLink(atPath: file, withDestinationPath: "../dotfiles/none")
        let dangling = try await setup("claude-code", ["--yes"], workspace)
        #expect(dangling.status == 1 && dangling.error.contains("a link to what is not there"), "\(dangling)")
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: file) == "../dotfiles/none")
        try FileManager.default.removeItem(atPath: file)
        try #require(mkfifo(file, 0o600) == 0)
        let piped = try await setup("claude-code", ["--yes"], workspace)
        #expect(piped.status == 2 && piped.error.contains("it is no file"), "\(piped)")
    }

    @Test func `makes a machine's settings for everybody, whatever the mask`() async throws {
        let workspace = try Workspace()
        let file = workspace.path("etc/claude-code/managed-settings.json")
        let made = try await AdministeredBroker.daypass(
            ["setup", "claude-code"] + Self.usual + ["--yes", "--file", file], ["HOME": workspace.path("")],
            through: ["sh", "-c", "umask 077; exec \"$@\"", "sh"])
        #expect(made.status == 0, "\(made)")
        let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
        let folder = try FileManager.default.attributesOfItem(atPath: workspace.path("etc/claude-code"))
        #expect(mode == 0o644 && folder[.posixPermissions] as? Int == 0o755)
    }

    @Test(.enabled(if: Programs.python != nil), arguments: [("yes", true), ("no", false), ("", false)])
    func `asks on a terminal, and needs a yes without one`(answer: String, isWritten: Bool) async throws {
        let workspace = try Workspace()
        let file = workspace.path("settings.json")
        let silent = try await setup("claude-code", ["--file", file], workspace)
        #expect(silent.status == 2 && silent.error.contains("give --yes or --print"), "\(silent)")
        let asked = try await AdministeredBroker.daypass(
            ["setup", "claude-code"] + Self.usual + ["--file", file], ["ANSWER": answer, "TERM": "dumb"],
            through: [try #require(Programs.python), "-c", OnTerminal.script])
        #expect(asked.output.contains("Type yes to go on"), "\(asked)")
        #expect(asked.status == (isWritten ? 0 : 1))
        #expect(FileManager.default.fileExists(atPath: file) == isWritten)
    }

    @Test(arguments: [
        (["--gateway", "http://gateway.example.com"], "--gateway has to be"),
        (["--gateway", "gateway.example.com"], "--gateway has to be"),
        (["--url", "https://daypass.example.com/x"], "the broker has to be"),
        (["--rule", "a\nb"], "control characters"), (["--identity", "x509:a,b,c"], "has to be one of"),
        (["--identity", "nobody"], "has to be one of"),
        (["--gateway", "https://API.Anthropic.com"], "the provider's own address"),
        (["--gateway", "https://api.openai.com:443/v1"], "the provider's own address"),
    ])
    func `refuses what would send tokens in the clear, or run something else`(arguments: [String], words: String)
        async throws
    {
        let workspace = try Workspace()
        var all = ["setup", "claude-code", "--yes"] + arguments
        for (option, value) in [("--gateway", Self.usual[1]), ("--url", Self.usual[3])] where !all.contains(option) {
            all += [option, value]
        }
        let refused = try await AdministeredBroker.daypass(all, ["HOME": workspace.path("")])
        #expect(refused.status == 2 && refused.error.contains(words), "\(refused)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: workspace.path("")).isEmpty)
    }

    @Test func `has a shell run the helper with what it was given, whatever that is`() async throws {
        let workspace = try Workspace()
        let made = try await setup(
            "claude-code", ["--rule", "it's $(touch x); a", "--identity", "file:/a b", "--print"], workspace)
        let json = try JSONReader.readObject(Array(made.output.utf8))
        let line = try #require(json["apiKeyHelper"]?.string?.string).replacing(Self.program, with: "printf '%s\\n'")
        let run = try await RunningProcess("/bin/sh", ["-c", line], in: workspace.folder).outcome()
        #expect(run.output == "token\n--identity\nfile:/a b\n--rule\nit's $(touch x); a\n", "\(run)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: workspace.path("")).isEmpty)
    }

    @Test func `tells the helper all that it was told itself, with whole paths`() async throws {
        let workspace = try Workspace()
        let folder = String(workspace.path("").dropLast())
        let told = [
            "DAYPASS_AUDIENCE": "https://other.example.com", "DAYPASS_IDENTITY": "x509:svid.pem,/run/svid.key",
            "DAYPASS_CA_FILE": "ca.pem",
        ]
        let carried = try await setup("claude-code", ["--print"], workspace, told)
        let json = try JSONReader.readObject(Array(carried.output.utf8))
        #expect(
            json["apiKeyHelper"]?.string?.string
                == "\(Self.helper) --identity x509:\(folder)/svid.pem,/run/svid.key --audience https://other.example.com "
                + "--ca-file \(folder)/ca.pem", "\(carried)")
        let arguments = ["--print", "--identity", "file:t", "--audience", "https://a", "--ca-file", "/b"]
        let named = try await setup("codex", arguments, workspace, told)
        let words = #""token", "--identity", "file:\#(folder)/t", "--audience", "https://a", "--ca-file", "/b"]"#
        #expect(named.output.contains(words), "\(named)")
    }

    // MARK: Codex

    @Test(arguments: [
        (
            "model = \"gpt\"\n\n# mine\n[tui]\nx = 1\n",
            "model = \"gpt\"\nmodel_provider = \"daypass\"\n\n# mine\n[tui]\nx = 1\n"
        ),
        (
            "model_provider = \"openai\"\nargs = [\n  \"a]\", # ]\n  \"b\",\n]\n",
            "model_provider = \"daypass\"\nargs = [\n  \"a]\", # ]\n  \"b\",\n]\n"
        ),
        (
            "  model_provider\t= 'o#\"' \t# keep, \"x\"\nmodel = \"y\"\n",
            "  model_provider\t= \"daypass\" \t# keep, \"x\"\nmodel = \"y\"\n"
        ),
        (
            "model_provider = \"daypass\" # ours\n[[mcp]]\n[mcp.env]\na = 1\n[[mcp]]\n[mcp.env]\na = 2\n",
            "model_provider = \"daypass\" # ours\n[[mcp]]\n[mcp.env]\na = 1\n[[mcp]]\n[mcp.env]\na = 2\n"
        ),
        (
            "[tui]\nx = 1\n[[mcp]]\na = 1\n[[mcp]]\na = 2\n",
            "model_provider = \"daypass\"\n\n[tui]\nx = 1\n[[mcp]]\na = 1\n[[mcp]]\na = 2\n"
        ),
    ]) func `adds a provider to Codex's configuration, and keeps its other lines`(before: String, after: String)
        async throws
    {
        let workspace = try Workspace()
        try workspace.write(".codex/config.toml", before)
        let made = try await setup("codex", ["--yes"], workspace)
        #expect(made.status == 0, "\(made)")
        let text = try text(workspace, ".codex/config.toml")
        #expect(text.hasPrefix("\(after)\n[model_providers.daypass]\nname = \"Daypass\"\n"), "\(text)")
        #expect(try await setup("codex", ["--yes"], workspace).error.hasSuffix("is set up already\n"))
        guard let python = Programs.python else { return }
        let read = try await RunningProcess(
            python,
            [
                "-c", "import tomllib; print(tomllib.load(open('.codex/config.toml','rb'))['model_providers'])",
            ], in: workspace.folder
        ).outcome()
        #expect(read.output.contains("'refresh_interval_ms': 300000") || read.error.contains("No module"), "\(read)")
    }

    @Test func `keeps what is equal but for a comment, shows no old value, and warns of what stays`() async throws {
        let workspace = try Workspace()
        try workspace.write(
            ".codex/config.toml",
            """
            profile = "work"
            model_provider = "daypass" # ticket 12
            [model_providers.daypass]
            name = "s3cr3t"
            env_key = "OPENAI_API_KEY"

            """)
        let made = try await setup("codex", ["--yes"], workspace)
        #expect(
            made.status == 0 && !made.error.contains("model_provider:") && !made.error.contains("s3cr3t"), "\(made)")
        #expect(made.error.contains("- model_providers.daypass.name: (another value)\n"))
        #expect(made.error.contains("warning: model_providers.daypass.env_key is still there"))
        #expect(made.error.contains("warning: a profile is named"))
        #expect(try text(workspace, ".codex/config.toml").contains("\nmodel_provider = \"daypass\" # ticket 12\n"))
    }

    @Test(arguments: [
        "x = \"\"\"\n[tui]\n\"\"\"\n", "model_providers = {}\n", "model_providers.daypass.name = \"x\"\n", "[tui\n",
        "a = [\n", "a\n", "a =\n", "[tui]\r\na = 1\r\n", "model_provider = [\n]\n", "[[model_providers]]\n",
        "a = 1\na = 2\n", "[model_providers]\ndaypass = {name = \"x\"}\n", "a = 'x\n",
    ]) func `leaves alone TOML that it cannot read line by line`(before: String) async throws {
        let workspace = try Workspace()
        try workspace.write(".codex/config.toml", before)
        let refused = try await setup("codex", ["--yes"], workspace)
        #expect(refused.status == 1 && refused.error.contains("nothing was changed. --print shows"), "\(refused)")
        #expect(try text(workspace, ".codex/config.toml") == before)
    }
}
