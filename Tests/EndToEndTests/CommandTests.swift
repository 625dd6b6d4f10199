import Foundation
import Testing

@Suite(.onOwnThreads) struct `The daemon's commands` {
    private func daypassd(_ arguments: String..., in folder: URL? = nil) async throws -> RunningProcess.Outcome {
        try await RunningProcess(Programs.daypassd, arguments, in: folder).outcome()
    }

    @Test func `demo turns identities into tokens, over mutual TLS too, and shows refusals with reasons`() async throws
    {
        let demo = try await daypassd("demo")
        #expect(demo.status == 0, "\(demo.error)")
        #expect(demo.error == "")
        // What is between the numbers, step by step.
        let steps = demo.output.components(separatedBy: "\n\n").filter { $0.first?.isNumber == true }
        let shown = [
            ["A CI job on main", "200: a gateway token for anthropic:messages anthropic:count_tokens"],
            ["A gateway asks", "200: Daypass-Subject: github:repo:acme/app:ref:refs/heads/main"],
            ["one character changed", #"401: Bearer error="invalid_token""#],
            ["the same identity token", "200: another token, in the same session"],
            ["renewed", "200: a new token, in the same session"],
            ["sub-agent", "200: a token for anthropic:messages alone, in session ", "below it"],
            ["asks for more again", "400 invalid_scope"],
            [
                "another branch", "400 invalid_request", "exchange.refused",
                "rule ci-main: ref is refs/heads/feature, wanted refs/heads/main",
            ],
            ["connects with it", "200: a token bound to that certificate, in session "],
            ["with the certificate", "200: Daypass-Subject: spiffe://prod.demo/ns/ml/sa/batch-scorer"],
            ["stolen", #"401: Bearer error="invalid_token""#],
            [
                "another trust domain", "the handshake fails",
                "spiffe://staging.demo/ns/ml/sa/batch-scorer: its trust domain is not configured",
            ],
        ]
        #expect(steps.count == shown.count, "\(demo.output)")
        for (number, (step, texts)) in zip(steps, shown).enumerated() {
            #expect(step.hasPrefix("\(number + 1). "), "\(step)")
            for text in texts { #expect(step.contains(text), "\(text) in \(step)") }
        }
        // A terminal of 120 columns and one screen and a half, read in a minute.
        let lines = demo.output.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.count < 55)
        for line in lines { #expect(line.count <= 120, "\(line)") }
    }

    @Test func `demo leaves nothing behind`() async throws {
        let workspace = try Workspace()
        let outcome = try await RunningProcess(
            Programs.daypassd, ["demo"], in: workspace.folder,
            environment: ["TMPDIR": workspace.folder.path(percentEncoded: false)]
        ).outcome()
        #expect(outcome.status == 0, "\(outcome.error)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: workspace.path("")) == [])
    }

    @Test func `init writes the shipped configuration, keys and store, says so, and serves from them`() async throws {
        let workspace = try Workspace()
        let made = try await daypassd("init", in: workspace.folder)
        #expect(made.status == 0, "\(made.error)")
        for thing in ["wrote ", "made the master key", "made the active ES256", "made the staged ES256"] {
            #expect(made.output.contains(thing), "\(thing): \(made.output)")
        }
        let key = try FileManager.default.attributesOfItem(atPath: workspace.path("config/data/master.key"))
        #expect(key[.posixPermissions] as? Int == 0o600)
        let folder = try FileManager.default.attributesOfItem(atPath: workspace.path("config/data"))
        #expect(folder[.posixPermissions] as? Int == 0o700)
        let database = try FileManager.default.attributesOfItem(atPath: workspace.path("config/data/daypass.db"))
        #expect(database[.posixPermissions] as? Int == 0o600)
        #expect(try await daypassd("check", in: workspace.folder).status == 0)
    }

    @Test func `init a second time overwrites nothing`() async throws {
        let workspace = try Workspace()
        _ = try await daypassd("init", in: workspace.folder)
        let names = ["config/daypass.yaml", "config/data/master.key", "config/issuers/github.yaml"]
        let before = try names.map { try Data(contentsOf: workspace.folder.appending(path: $0)) }
        let again = try await daypassd("init", in: workspace.folder)
        #expect(again.status == 0, "\(again.error)")
        #expect(again.output.contains("kept the master key"))
        #expect(again.output.contains("kept 2 signing keys"))
        #expect(!again.output.contains("wrote"))
        let after = try names.map { try Data(contentsOf: workspace.folder.appending(path: $0)) }
        #expect(before == after)
    }

    @Test func `check names file, line and column of an error and exits with 1`() async throws {
        let workspace = try Workspace()
        _ = try await daypassd("init", in: workspace.folder)
        let path = workspace.folder.appending(path: "config/daypass.yaml")
        let text = try String(contentsOf: path, encoding: .utf8)
        try Data((text + "\nverfy: {require_scope: true}\n").utf8).write(to: path)
        let checked = try await daypassd("check", in: workspace.folder)
        #expect(checked.status == 1)
        #expect(
            checked.error.contains(
                "daypass.yaml:\(text.split(separator: "\n", omittingEmptySubsequences: false).count + 1):1"))
        #expect(checked.error.contains("verify"))
        #expect(checked.output == "")
    }

    @Test(arguments: [["serve", "--no-such-flag"], ["no-such-command"], ["check", "--config"]])
    func `wrong usage exits with 2`(_ arguments: [String]) async throws {
        let outcome = try await RunningProcess(Programs.daypassd, arguments).outcome()
        #expect(outcome.status == 2)
        #expect(outcome.output == "")
        #expect(outcome.error != "")
    }

    @Test func `serve without init says what to run`() async throws {
        let workspace = try Workspace()
        try workspace.write(
            "daypass.yaml",
            """
            server: {public: {listen: "127.0.0.1:0", url: "http://127.0.0.1:1"}}
            tokens: {audiences: ["https://gateway.example.com"]}
            store: {sqlite: daypass.db}
            master_key_file: master.key
            """)
        let outcome = try await daypassd("serve", "--config", workspace.path("daypass.yaml"))
        #expect(outcome.status == 1)
        #expect(outcome.error.contains("daypassd init"), "\(outcome.error)")
    }

    @Test func `serve refuses a master key that others may read, and another master key`() async throws {
        let workspace = try Workspace()
        _ = try await daypassd("init", in: workspace.folder)
        let key = workspace.path("config/data/master.key")
        try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: key)
        let readable = try await daypassd("serve", in: workspace.folder)
        #expect(readable.status == 1)
        #expect(readable.error.contains("chmod 600"), "\(readable.error)")

        let elsewhere = try Workspace()
        _ = try await daypassd("init", in: elsewhere.folder)
        try FileManager.default.removeItem(atPath: key)
        try FileManager.default.copyItem(atPath: elsewhere.path("config/data/master.key"), toPath: key)
        for command in ["serve", "init"] {
            let other = try await daypassd(command, in: workspace.folder)
            #expect(other.status == 1)
            #expect(other.error.contains("was sealed with master key"), "\(other.error)")
        }
    }

    @Test func `init puts no new master key in the place of a lost one`() async throws {
        let workspace = try Workspace()
        _ = try await daypassd("init", in: workspace.folder)
        let key = workspace.path("config/data/master.key")
        try FileManager.default.moveItem(atPath: key, toPath: workspace.path("copy"))
        let refused = try await daypassd("init", in: workspace.folder)
        #expect(refused.status == 1)
        #expect(refused.error.contains("put the copy of that key there"), "\(refused.error)")
        #expect(!FileManager.default.fileExists(atPath: key))
        try FileManager.default.moveItem(atPath: workspace.path("copy"), toPath: key)
        #expect(try await daypassd("init", in: workspace.folder).status == 0)
    }

    @Test(arguments: ["check", "serve"])
    func `a configuration that is not there is named, and so is what writes one`(command: String) async throws {
        let workspace = try Workspace()
        let outcome = try await daypassd(command, in: workspace.folder)
        #expect(outcome.status == 1)
        #expect(outcome.error.contains("config/daypass.yaml: there is no such file; `daypassd init` writes one"))
    }

    @Test func `init says in words what it cannot make`() async throws {
        let workspace = try Workspace()
        try workspace.write("config", "a file in the place of the folder")
        let outcome = try await daypassd("init", in: workspace.folder)
        #expect(outcome.status == 1)
        #expect(outcome.error.hasPrefix("daypassd: "), "\(outcome.error)")
        #expect(outcome.error.contains("cannot be made: File exists"), "\(outcome.error)")
        #expect(!outcome.error.contains("Domain="), "\(outcome.error)")
    }

    @Test func `check warns of a configuration without a rule`() async throws {
        let workspace = try Workspace()
        _ = try await daypassd("init", in: workspace.folder)
        try FileManager.default.removeItem(atPath: workspace.path("config/rules/ci.yaml"))
        let outcome = try await daypassd("check", in: workspace.folder)
        #expect(outcome.status == 0)
        #expect(outcome.error.contains("every exchange is refused"))
        #expect(outcome.output.contains("0 rules"))
    }

    @Test(arguments: [["init"], ["check"], ["serve"], ["demo"], []])
    func `help says what each command does and exits with 0`(_ command: [String]) async throws {
        let outcome = try await RunningProcess(Programs.daypassd, command + ["--help"]).outcome()
        #expect(outcome.status == 0)
        #expect(outcome.output.contains("USAGE: daypassd \(command.first ?? "<subcommand>")"))
        #expect(outcome.error == "")
    }
}
