import Foundation
import JOSE
import Testing

/// The jobs of `config/ci` with curl, run as they stand there: by real curl, real Claude Code and a real broker, and with an
/// imitation of what gives each its identity token.
@Suite(
    .onOwnThreads, .timeLimit(.minutes(5)),
    .enabled(if: Programs.claude != nil && Programs.curl != nil, "Claude Code is not installed: Tests/Peers/install"))
struct `Jobs of config/ci` {
    enum Provider: String, CaseIterable, CustomTestStringConvertible {
        case github = "github-actions.yml"
        case gitlab = "gitlab-ci.yml"
        case buildkite = "buildkite.yml"
        case circleci = "circleci.yml"
        case kubernetes = "kubernetes.yaml"

        var testDescription: String { rawValue }

        private var text: String {
            get throws {
                try String(contentsOf: Programs.repository.appending(path: "config/ci/\(rawValue)"), encoding: .utf8)
            }
        }

        /// What runs a block, as its provider documents it.
        var shell: [String] {
            get throws {
                switch self {
                // `bash -e` alone, where no shell is named (Workflow syntax, `jobs.<job_id>.steps[*].shell`).
                case .github:
                    try text.contains("\n  run: {shell: bash}")
                        ? ["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail"] : ["/bin/bash", "-e"]
                case .gitlab, .circleci: ["/bin/bash", "-eo", "pipefail"]
                case .buildkite: ["/bin/bash", "-e"]
                case .kubernetes: ["/bin/sh"]
                }
            }
        }

        /// The lines of the block in which this text stands, without their indentation.
        func block(with marker: String) throws -> String {
            let lines = try text.components(separatedBy: "\n")
            let place = try #require(lines.firstIndex { $0.contains(marker) }, "\(marker)")
            let isName = lines[place].contains("name: ")
            let start = try #require(
                isName
                    ? lines[place...].firstIndex { $0.hasSuffix("|") } : lines[...place].lastIndex { $0.hasSuffix("|") }
            )
            let indent = lines[start + 1].prefix { $0 == " " }.count
            let block = lines[(start + 1)...].prefix { $0.isEmpty || $0.prefix { $0 == " " }.count >= indent }
            let script = block.map { String($0.dropFirst(indent)) }.joined(separator: "\n")
            return self == .buildkite ? script.replacing("$$", with: "$") : script
        }
    }

    /// Answers as GitHub documents it, only to who asks for this audience with this bearer.
    private static let github = """
        import sys, json, urllib.parse, http.server
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                url = urllib.parse.urlsplit(self.path)
                query = urllib.parse.parse_qs(url.query)
                good = (url.path == "/token" and query == {"api-version": ["2.0"], "audience": [sys.argv[2]]}
                        and self.headers["Authorization"].lower() == "bearer request-token")
                value = {"count": 1, "value": open(sys.argv[3]).read()} if good else {"message": "refused"}
                body = json.dumps(value).encode()
                self.send_response(200 if good else 401)
                self.send_header("Content-Type", "application/json; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
        http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
        """

    /// An agent's own command: prints the token where it is called as the provider documents it.
    private func command(_ workspace: Workspace, _ name: String, wants arguments: String) async throws {
        try workspace.write(
            "bin/\(name).text",
            "#!/bin/sh\n[ \"$*\" = '\(arguments)' ] || { echo \"$*\" >&2; exit 64; }\ncat '\(workspace.path("identity-token"))'\n"
        )
        try await makeProgram(workspace, name)
    }

    /// By a program: a file that this process writes may be open in another test's child, and cannot be run then.
    private func makeProgram(_ workspace: Workspace, _ name: String) async throws {
        let path = workspace.path("bin/\(name)")
        let made = try await RunningProcess(
            "/bin/sh", ["-c", "cp \"$1.text\" \"$1\" && chmod +x \"$1\"", "sh", path]
        ).outcome()
        try #require(made.status == 0, "\(made.error)")
    }

    @Test(arguments: Provider.allCases)
    func `get a token with curl alone, and their agent an answer`(provider: Provider) async throws {
        let outcome = try await run(provider, marker: Self.withCurl)
        #expect(outcome.status == 0 && outcome.output.hasSuffix("pong\n"), "\(outcome)")
        // GitHub hides from the log what it is told to.
        let lines = outcome.output.split(separator: "\n").filter { !$0.hasPrefix("::add-mask::") }
        #expect(!(lines.joined() + outcome.error).contains("eyJ"), "\(outcome)")
    }

    @Test(arguments: Provider.allCases)
    func `stop with the broker's words where no rule matches`(provider: Provider) async throws {
        let outcome = try await run(provider, marker: Self.withCurl, ref: "refs/heads/other")
        #expect(outcome.status == 1 && outcome.error.contains("no rule grants"), "\(outcome)")
        #expect(!outcome.output.contains("pong") && !outcome.error.contains("eyJ"))
    }

    @Test(arguments: Provider.allCases)
    func `run no agent where nobody gives them an identity token`(provider: Provider) async throws {
        let outcome = try await run(provider, marker: Self.withCurl, hasIdentity: false)
        #expect(outcome.status != 0 && !outcome.error.isEmpty, "\(outcome)")
        // Not what comes of asking with none.
        #expect(!outcome.error.contains("subject_token"), "\(outcome.error)")
        #expect(!outcome.output.contains("pong") && !(outcome.output + outcome.error).contains("job-secret"))
    }

    /// How a broker answers that is none, or not all of it.
    @Test(arguments: Provider.allCases, ["cut", "html", "json-list", "bad-gateway"])
    func `run no agent, and print no token, where something else than a broker answers`(
        provider: Provider, mode: String
    ) async throws {
        let outcome = try await run(provider, marker: Self.withCurl, answering: mode)
        #expect(outcome.status == 1 && !outcome.error.isEmpty, "\(outcome)")
        #expect(!outcome.output.contains("pong") && !(outcome.output + outcome.error).contains("eyJ"), "\(outcome)")
    }

    @Test(arguments: [("cut", "curl: (18)"), ("html", "is not Daypass"), ("echo", "curl: (22)")])
    func `curl-helper prints no token but one, wherever it is asked`(mode: String, words: String) async throws {
        let workspace = try Workspace()
        try workspace.write("token", "eyJhbGciOiJFUzI1NiJ9.e30.aWRlbnRpdHk\n")
        let (broker, origin) = try await Self.badBroker(mode)
        defer { broker.signal(SIGKILL) }
        let script = Programs.repository.appending(path: "config/claude-code/curl-helper").path(percentEncoded: false)
        let outcome = try await RunningProcess(
            script, [workspace.path("token")], environment: ["PATH": "/usr/bin:/bin", "DAYPASS_URL": origin]
        ).outcome()
        #expect(outcome.status == 1 && outcome.output == "" && outcome.error.contains(words), "\(outcome)")
        #expect(!outcome.error.contains("eyJ"), "\(outcome)")
    }

    @Test func `the audience of the Kubernetes job is that of the issuer that is shipped`() throws {
        func audience(_ file: String, _ end: Character) throws -> Substring {
            let text = try String(contentsOf: Programs.repository.appending(path: file), encoding: .utf8)
            let values = text.components(separatedBy: "audience: ").dropFirst().map { $0.prefix { $0 != end } }
            return try #require(values.first { $0.hasPrefix("https://") })
        }
        #expect(try audience("config/ci/kubernetes.yaml", ",") == audience("config/issuers/kubernetes.yaml", "\n"))
    }

    private static let withCurl = "Ask the agent with curl"

    private static func badBroker(_ mode: String) async throws -> (RunningProcess, origin: String) {
        let port = try Workspace.freePort()
        let script = Programs.repository.appending(path: "Tests/Peers/bad-broker.py").path(percentEncoded: false)
        let process = try RunningProcess(try #require(Programs.python), [script, "\(port)", mode])
        try await waitUntil("it listens") {
            try #require(process.isRunning, "\(process.error)")
            return Workspace.isListening(port)
        }
        return (process, "http://127.0.0.1:\(port)")
    }

    @Test(arguments: Provider.allCases)
    func `get a token with daypass, and their agent an answer`(provider: Provider) async throws {
        let outcome = try await run(provider, marker: "apiKeyHelper")
        #expect(outcome.status == 0 && outcome.output == "pong\n", "\(outcome)")
    }

    /// - Parameters:
    ///   - mode: of what answers in the broker's place; nil is the broker.
    ///   - hasIdentity: whether the provider gives an identity token.
    private func run(
        _ provider: Provider, marker: String, ref: String = "refs/heads/main", answering mode: String? = nil,
        hasIdentity: Bool = true
    ) async throws -> RunningProcess.Outcome {
        let stage = try await AnthropicStage()
        let workspace = stage.workspace
        // The audience is the broker's address, but for this stage's issuer, which has another one.
        let audience = RunningBroker.audience
        try stage.writeIdentityToken(ref: ref)
        var other: (RunningProcess, origin: String)?
        if let mode { other = try await Self.badBroker(mode) }
        defer { other?.0.signal(SIGKILL) }
        let origin = other?.origin ?? stage.broker.origin
        try workspace.write("project/file", "")
        var environment = [
            "HOME": workspace.path("home"), "PATH": "\(workspace.path("bin")):/usr/bin:/bin",
            "DAYPASS_URL": origin, "DAYPASS_AUDIENCE": audience, "ANTHROPIC_BASE_URL": stage.origin,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_TELEMETRY": "1", "DISABLE_AUTOUPDATER": "1",
        ]
        for (name, program) in [("claude", try #require(Programs.claude)), ("daypass", Programs.daypass)] {
            let libraries = ProcessInfo.processInfo.environment["LD_LIBRARY_PATH"] ?? ""
            let prefix = name == "daypass" ? "LD_LIBRARY_PATH='\(libraries)' " : ""
            try workspace.write("bin/\(name).text", "#!/bin/sh\n\(prefix)exec '\(program)' \"$@\"\n")
            try await makeProgram(workspace, name)
        }
        let calls = workspace.path("calls")
        try workspace.write(
            "bin/curl.text",
            "#!/bin/sh\nprintf '%s\\n' \"$*\" >> '\(calls)'\nexec '\(try #require(Programs.curl))' \"$@\"\n")
        try await makeProgram(workspace, "curl")
        var script = try provider.block(with: marker)
        // With curl the audience that is asked for is the broker's address.
        let asked = marker == "apiKeyHelper" ? audience : origin
        var service: RunningProcess?
        switch provider {
        case .github:
            let port = try Workspace.freePort()
            service = try RunningProcess(
                try #require(Programs.python), ["-c", Self.github, "\(port)", asked, stage.identityToken])
            try await waitUntil("GitHub's service listens") { Workspace.isListening(port) }
            environment["ACTIONS_ID_TOKEN_REQUEST_URL"] = "http://127.0.0.1:\(port)/token?api-version=2.0"
            environment["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = hasIdentity ? "request-token" : "job-secret"
            environment["GITHUB_ACTIONS"] = "true"
        case .gitlab:
            if hasIdentity {
                environment["DAYPASS_ID_TOKEN"] = try String(contentsOfFile: stage.identityToken, encoding: .utf8)
            }
            environment["GITLAB_CI"] = "true"
        case .buildkite:
            try await command(
                workspace, "buildkite-agent", wants: hasIdentity ? "oidc request-token --audience \(asked)" : "none")
            environment["BUILDKITE"] = "true"
            environment["BUILDKITE_JOB_ID"] = "0190-job"
        case .circleci:
            try await command(
                workspace, "circleci", wants: hasIdentity ? #"run oidc get --claims {"aud":"\#(asked)"}"# : "none")
            environment["CIRCLECI"] = "true"
        case .kubernetes:
            let file = hasIdentity ? stage.identityToken : workspace.path("none")
            try #require(marker == "apiKeyHelper" || script.contains("/var/run/secrets/daypass/token"))
            script = script.replacing("/var/run/secrets/daypass/token", with: file)
            environment["DAYPASS_KUBERNETES_TOKEN_FILE"] = file
        }
        defer { service?.signal(SIGKILL) }
        let shell = try provider.shell
        let outcome = try await RunningProcess(
            shell[0], shell.dropFirst() + ["-c", script], in: workspace.folder.appending(path: "project"),
            environment: environment, seconds: 90
        ).outcome()
        // What `ps` shows to everybody.
        let arguments = (try? String(contentsOfFile: calls, encoding: .utf8)) ?? ""
        #expect(!hasIdentity || marker == "apiKeyHelper" || arguments.contains("/oauth/token"))
        #expect(!arguments.contains("request-token") && !arguments.contains("eyJ"), "\(arguments)")
        return outcome
    }
}
