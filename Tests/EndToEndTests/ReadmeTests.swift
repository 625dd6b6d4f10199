import Foundation
import JOSE
import Testing

/// What README.md and the comments of the configuration tell somebody to type, run as it stands there.
@Suite(.onOwnThreads, .enabled(if: Programs.curl != nil, "curl is not installed")) struct `As documented` {
    /// The blocks of README.md in this language, below that heading.
    private static func blocks(_ language: String, below heading: String) throws -> [String] {
        let readme = try String(contentsOf: Programs.repository.appending(path: "README.md"), encoding: .utf8)
        let section = try #require(readme.components(separatedBy: "\n## ").first { $0.hasPrefix("\(heading)\n") })
        return section.components(separatedBy: "\n```\(language)\n").dropFirst().map {
            $0.components(separatedBy: "\n```")[0]
        }
    }

    private static func copyCertificateScript(to workspace: Workspace, and other: String...) async throws {
        for name in ["certs/make-development"] + other {
            let file = Programs.repository.appending(path: name).path(percentEncoded: false)
            let target = workspace.path(name)
            let folder = URL(filePath: target).deletingLastPathComponent()
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            // By a program: a file that this process writes may be open in another test's child, and cannot be run then.
            let copied = try await RunningProcess("/bin/cp", ["-p", file, target]).outcome()
            try #require(copied.status == 0, "\(copied.error)")
        }
    }

    /// A command line, run by a shell in the workspace, for which `daypassd` is the one that was built.
    private static func start(_ line: String, in workspace: Workspace) throws -> RunningProcess {
        let programs = URL(filePath: Programs.daypassd).deletingLastPathComponent().path(percentEncoded: false)
        var environment = ProcessInfo.processInfo.environment
        environment["PATH"] = "\(programs):\(environment["PATH"] ?? "/usr/bin:/bin")"
        return try RunningProcess("/bin/bash", ["-c", line], in: workspace.folder, environment: environment)
    }

    /// With ports that are free in the place of the documented ones, which have to be there.
    private static func withFreePorts(_ texts: [String], _ ports: [String: Int]) throws -> [String] {
        for port in ports.keys { try #require(texts.contains { $0.contains(":\(port)") }, "\(port)") }
        return texts.map { text in ports.reduce(text) { $0.replacing(":\($1.key)", with: ":\($1.value)") } }
    }

    @Test func `three lines of the README let a workload exchange its certificate for a token bound to it`()
        async throws
    {
        let heading = "A workload with a SPIFFE identity"
        let blocks = try Self.blocks("sh", below: heading)
        try #require(blocks.count == 2)
        var lines = blocks[0].components(separatedBy: "\n")
        try #require(lines.count == 2)
        let workspace = try Workspace()
        try await Self.copyCertificateScript(to: workspace, and: "certs/daypass.yaml")
        let ports = ["8443": try Workspace.freePort(), "9464": try Workspace.freePort()]
        let written = try String(contentsOfFile: workspace.path("certs/daypass.yaml"), encoding: .utf8)
        let replaced = try Self.withFreePorts([written, blocks[1]], ports)
        try workspace.write("certs/daypass.yaml", replaced[0])

        let made = try await Self.start(lines[0], in: workspace).outcome()
        try #require(made.status == 0, "\(made.error)")
        // So that it is no child of the shell, which would outlive it.
        lines = lines[1].components(separatedBy: " && ")
        try #require(lines.count == 2 && lines.allSatisfy { $0.hasPrefix("daypassd ") })
        let initialized = try await Self.start(lines[0], in: workspace).outcome()
        try #require(initialized.status == 0, "\(initialized.error)")
        let daemon = try Self.start("exec \(lines[1])", in: workspace)
        try await RunningBroker.waitUntilListening(daemon)
        #expect(!daemon.error.contains(#""level":"warning""#), "\(daemon.error)")

        let answer = try await Self.start(replaced[1], in: workspace).outcome()
        #expect(answer.status == 0 && answer.error == "")
        let json = try JSONReader.readObject(Array(answer.output.utf8))
        let shown = try JSONReader.readObject(Array(#require(Self.blocks("json", below: heading).first).utf8))
        #expect(json.members.map(\.name) == shown.members.map(\.name))
        for name: ExactString in ["token_type", "expires_in", "scope"] { #expect(json[name] == shown[name]) }

        let token = try #require(json["access_token"]?.string?.string)
        let verify =
            "-H 'Authorization: Bearer \(token)' 'https://localhost:\(try #require(ports["8443"]))/verify"
            + "?scope=anthropic:messages' -o /dev/null -w '%{http_code} %header{daypass-subject}'"
        let client = try #require(replaced[1].components(separatedBy: "https://").first)
            .replacing("\\\n", with: "")
        let own = try await Self.start(client + verify, in: workspace).outcome()
        #expect(own.output == "200 spiffe://dev.example.org/workload", "\(own.error)")
        let authority = "curl -sS --cacert certs/development/bundle.pem "
        try #require(client.hasPrefix(authority + "--cert "))
        let stolen = try await Self.start(authority + verify, in: workspace).outcome()
        #expect(stolen.output.hasPrefix("401"), "\(stolen.error)")
        daemon.signal(SIGTERM)
        #expect(try await daemon.outcome(within: 20).status == 0)
    }

    @Test func `the comments of the shipped configuration are all that has to be taken away`() async throws {
        let workspace = try Workspace()
        try await Self.copyCertificateScript(to: workspace)
        for line in ["daypassd init", "certs/make-development config/certs"] {
            let outcome = try await Self.start(line, in: workspace).outcome()
            try #require(outcome.status == 0, "\(line): \(outcome.error)")
            if line.hasPrefix("certs/") {
                let text = try String(contentsOfFile: workspace.path("config/daypass.yaml"), encoding: .utf8)
                #expect(text.contains("`\(line)`"))
            }
        }
        let file = workspace.path("config/daypass.yaml")
        var text = try String(contentsOfFile: file, encoding: .utf8).replacing(
            "url: \"http://", with: "url: \"https://")
        for key in ["tls", "trust_domains"] { text = try Self.uncommented(text, key) }
        // The second of the two listeners with tls.
        text = text.replacing("    # listen: ", with: "    listen: ")
        let ports = [
            "8080": try Workspace.freePort(), "9464": try Workspace.freePort(), "8444": try Workspace.freePort(),
        ]
        try workspace.write("config/daypass.yaml", Self.withFreePorts([text], ports)[0])
        let rules = try String(contentsOfFile: workspace.path("config/rules/workloads.yaml"), encoding: .utf8)
        try workspace.write("config/rules/workloads.yaml", Self.uncommented(rules, "rules"))

        let checked = try await Self.start("daypassd check --strict", in: workspace).outcome()
        #expect(checked.status == 0 && checked.error == "", "\(checked.error)")
        #expect(checked.output == "config/daypass.yaml: valid, 4 issuers, 1 trust domain, 2 rules\n")
        let daemon = try Self.start("exec daypassd serve", in: workspace)
        try await RunningBroker.waitUntilListening(daemon)
        let client = "--cert config/certs/workload.pem --key config/certs/workload.key"
        let answer = try await Self.start(
            "curl -sS --cacert config/certs/bundle.pem \(client) -d grant_type=client_credentials "
                + "https://localhost:\(try #require(ports["8080"]))/oauth/token", in: workspace
        ).outcome()
        #expect(answer.output.contains(#""access_token""#), "\(answer.output)\(answer.error)")
        daemon.signal(SIGTERM)
        #expect(try await daemon.outcome(within: 20).status == 0)
    }

    @Test(.enabled(if: Programs.claude != nil, "Claude Code is not installed: Tests/Peers/install"))
    func `three lines of the README set Claude Code up, check that, and have an answer`() async throws {
        let stage = try await AnthropicStage()
        let workspace = stage.workspace
        try stage.writeIdentityToken()
        let token = try String(contentsOfFile: stage.identityToken, encoding: .utf8)
        try workspace.write("token", token)
        let block = try #require(try Self.blocks("sh", below: "A developer with Claude Code").first)
        try #require(block.contains("http://127.0.0.1:8000") && block.contains("http://127.0.0.1:8080"))
        let lines = block.replacing("http://127.0.0.1:8000", with: stage.origin)
            .replacing("http://127.0.0.1:8080", with: stage.broker.origin)
        let claude = try #require(Programs.claude)
        let programs = URL(filePath: Programs.daypass).deletingLastPathComponent().path(percentEncoded: false)
        var environment = [
            "HOME": workspace.path("home"), "PATH": "\(programs):/usr/bin:/bin",
            // That of this stage's issuer.
            "DAYPASS_AUDIENCE": RunningBroker.audience, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_TELEMETRY": "1", "DISABLE_AUTOUPDATER": "1",
        ]
        environment["LD_LIBRARY_PATH"] = ProcessInfo.processInfo.environment["LD_LIBRARY_PATH"]
        let outcome = try await RunningProcess(
            "/bin/bash", ["-ec", "claude() { '\(claude)' \"$@\"; }\n\(lines)"], in: workspace.folder,
            environment: environment, seconds: 90
        ).outcome()
        #expect(outcome.status == 0 && outcome.output.hasSuffix("\npong\n"), "\(outcome)")
        #expect(!outcome.output.contains("problem") && !outcome.output.contains("warning"), "\(outcome)")
    }

    @Test func `the line of the README for a CI job is that of the example which is run`() throws {
        let line = try #require(try Self.blocks("sh", below: "A CI job").first)
        let file = Programs.repository.appending(path: "config/ci/github-actions.yml")
        let example = try String(contentsOf: file, encoding: .utf8)
        #expect(example.contains("          \(line)\n"))
    }

    /// With the comment that begins with this key, and the lines that are indented below it, no comment any more.
    private static func uncommented(_ text: String, _ key: String) throws -> String {
        var isWithin = false
        var count = 0
        let lines = text.components(separatedBy: "\n").map { line -> String in
            let indentation = line.prefix { $0 == " " }
            let comment = line.dropFirst(indentation.count)
            isWithin = comment == "# \(key):" || (isWithin && comment.hasPrefix("#   "))
            guard isWithin else { return line }
            count += 1
            return String(indentation + comment.dropFirst(2))
        }
        try #require(count > 2, "\(key)")
        return lines.joined(separator: "\n")
    }
}

@Suite(.onOwnThreads) struct `certs/make-development` {
    private func run(_ arguments: [String], in folder: URL) async throws -> RunningProcess.Outcome {
        let script = Programs.repository.appending(path: "certs/make-development").path(percentEncoded: false)
        return try await RunningProcess(script, arguments, in: folder).outcome()
    }

    private static let keys = ["server.key", "workload.key"]
    private static let files = keys + ["server.pem", "workload.pem", "bundle.pem"]

    @Test func `makes five files in any folder, the keys for their owner alone, and says so in one line`() async throws
    {
        let workspace = try Workspace()
        let made = try await run(["-some folder", "prod.example.com", "/ns/ml/sa/scorer"], in: workspace.folder)
        #expect(made.status == 0 && made.error == "")
        #expect(
            made.output.hasSuffix(": spiffe://prod.example.com/ns/ml/sa/scorer and https://localhost, for 30 days\n"))
        let folder = workspace.path("-some folder")
        #expect(try Set(FileManager.default.contentsOfDirectory(atPath: folder)) == Set(Self.files))
        for name in Self.files {
            let mode = try FileManager.default.attributesOfItem(atPath: "\(folder)/\(name)")[.posixPermissions] as? Int
            #expect(mode == (Self.keys.contains(name) ? 0o600 : 0o644), "\(name)")
        }
    }

    @Test(arguments: files)
    func `overwrites nothing, whichever of its files is there`(name: String) async throws {
        let workspace = try Workspace()
        try workspace.write("here/\(name)", "mine")
        try workspace.write("here/other.pem", "mine")
        let made = try await run(["here"], in: workspace.folder)
        #expect(made.status == 1 && made.error.contains("here/\(name) is there already"), "\(made.error)")
        #expect(try Data(contentsOf: workspace.folder.appending(path: "here/\(name)")) == Data("mine".utf8))
        #expect(
            try Set(FileManager.default.contentsOfDirectory(atPath: workspace.path("here"))) == [name, "other.pem"])
    }

    @Test(arguments: [
        ["x", "Example.org"], ["x", "a,URI:spiffe://b"], ["x", "a\nDNS:b"], ["x", "a/b"],
        ["x", "example.org", "workload"], ["x", "example.org", "/"], ["x", "example.org", "/a/../b"],
        ["x", "example.org", "/a,DNS:b"], ["x", "example.org", "/a/"], ["x", "example.org", "/a\n"],
    ])
    func `refuses what is no SPIFFE ID, and makes nothing`(arguments: [String]) async throws {
        let workspace = try Workspace()
        let made = try await run(arguments, in: workspace.folder)
        #expect(made.status == 1 && made.error.hasPrefix("no "), "\(made.error)")
        #expect(!FileManager.default.fileExists(atPath: workspace.path("x")))
    }
}
