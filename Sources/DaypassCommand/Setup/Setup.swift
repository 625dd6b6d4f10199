import ArgumentParser
import BrokerClient
import FoundationEssentials
import Glibc

/// `daypass setup`
struct Setup: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Have a client take its tokens from daypass token.",
        subcommands: [ClaudeCode.self, Codex.self])

    /// `daypass setup claude-code`
    struct ClaudeCode: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "claude-code",
            abstract: "Write Claude Code's settings: apiKeyHelper and the gateway's address.",
            discussion: """
                It changes ~/.claude/settings.json (CLAUDE_CONFIG_DIR, --file): shows what would be otherwise and asks. Other \
                settings stay as they are, and in their order; a file that is no JSON is left alone.

                Example: daypass setup claude-code --gateway https://gateway.example.com --url https://daypass.example.com
                """)

        @OptionGroup var options: SetupOptions

        /// For /bin/sh, which runs the helper. What is quoted before the equals sign would be no assignment.
        private static func line(_ words: [String]) -> String {
            words.map { word in
                let name = "DAYPASS_URL="
                return word.hasPrefix(name)
                    ? name + ShellWord.quoted(String(word.dropFirst(name.count))) : ShellWord.quoted(word)
            }.joined(separator: " ")
        }

        func run() throws {
            let environment = ProcessInfo.processInfo.environment.filter { !$0.value.isEmpty }
            let words = try options.command(environment)
            let settings: [(path: [String], value: String)] = [
                (["apiKeyHelper"], Self.line(words)),
                (["env", "ANTHROPIC_BASE_URL"], try options.gatewayOrigin()),
                (["env", "CLAUDE_CODE_API_KEY_HELPER_TTL_MS"], "300000"),
            ]
            var empty = JSONDocument()
            for (path, value) in settings { _ = empty.set(path, value) }
            if options.print { return Terminal.print(String(empty.text.dropLast())) }

            let file = try SettingsFile(try options.path(ClaudeCodeSettings.ownPath(environment)))
            let text = file.text ?? ""
            guard var document = text.allSatisfy(\.isWhitespace) ? JSONDocument() : JSONDocument(text) else {
                throw SetupOptions.unreadable(file.path, "one JSON object, each name in it once")
            }
            var changes: [SetupOptions.Change] = []
            for (path, value) in settings {
                let old = document.value(path)
                guard old?.text != value else { continue }
                guard document.set(path, value) else {
                    throw SetupOptions.unreadable(file.path, "an object as its env")
                }
                changes.append(.init(name: path.joined(separator: "."), old: old?.shown, new: value))
            }
            try options.write(document.text, to: file, changes)
            for name in ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"]
            where environment[name] != nil || document.value(["env", name]) != nil {
                Terminal.warn("\(name) is set, and is sent in place of the helper's token: daypass doctor")
            }
        }
    }

    /// `daypass setup codex`
    struct Codex: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write Codex's configuration: a provider whose token comes from daypass token.",
            discussion: """
                It changes ~/.codex/config.toml (CODEX_HOME, --file): shows what would be otherwise and asks. Other lines stay \
                as they are; a file in which it cannot read each line is left alone. --gateway is what stands before \
                /responses, such as https://gateway.example.com/v1.

                Example: daypass setup codex --gateway https://gateway.example.com/v1 --url https://daypass.example.com
                """)

        @OptionGroup var options: SetupOptions

        func run() throws {
            let environment = ProcessInfo.processInfo.environment.filter { !$0.value.isEmpty }
            // No shell runs it.
            let words = ["/usr/bin/env"] + (try options.command(environment))
            let arguments = words.dropFirst().map(Self.quoted).joined(separator: ", ")
            let (provider, auth) = (["model_providers", "daypass"], ["model_providers", "daypass", "auth"])
            let settings: [(table: [String], key: String, value: String)] = [
                ([], "model_provider", Self.quoted("daypass")),
                (provider, "name", Self.quoted("Daypass")),
                (provider, "base_url", Self.quoted(try options.gatewayOrigin())),
                (provider, "wire_api", Self.quoted("responses")),
                (auth, "command", Self.quoted(words[0])),
                (auth, "args", "[\(arguments)]"),
                (auth, "timeout_ms", "12000"),
                (auth, "refresh_interval_ms", "300000"),
            ]
            var empty = TOMLDocument()
            for (table, key, value) in settings { _ = empty.set(table, key, value) }
            if options.print { return Terminal.print(String(empty.text.dropLast())) }

            let folder = environment["CODEX_HOME"] ?? environment["HOME"].map { "\($0)/.codex" }
            let file = try SettingsFile(try options.path(folder.map { "\($0)/config.toml" }))
            guard var document = TOMLDocument(file.text ?? "") else {
                throw SetupOptions.unreadable(file.path, "lines of TOML, without strings of several lines")
            }
            var changes: [SetupOptions.Change] = []
            for (table, key, value) in settings {
                let old = document.value(table, key)
                guard old != value else { continue }
                guard document.set(table, key, value) else {
                    throw SetupOptions.unreadable(
                        file.path, "model_providers.daypass as a table of its own, each value on one line")
                }
                changes.append(.init(name: (table + [key]).joined(separator: "."), old: old, new: value))
            }
            try options.write(document.text, to: file, changes)
            for key in ["env_key", "requires_openai_auth"] where document.value(provider, key) != nil {
                Terminal.warn(
                    "model_providers.daypass.\(key) is still there, and may be used in place of auth: take it out")
            }
            if document.value([], "profile") != nil {
                Terminal.warn("a profile is named, which may have a model_provider of its own")
            }
        }

        /// A basic string (TOML 1.0): none of what is quoted here has control characters.
        private static func quoted(_ text: String) -> String {
            "\"\(text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\""))\""
        }
    }
}
