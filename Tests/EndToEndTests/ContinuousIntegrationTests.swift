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

        /// The lines of the block in which this text stands, without their indentation.
        func block(with marker: String) throws -> String {
            let file = Programs.repository.appending(path: "config/ci/\(rawValue)")
            let lines = try String(contentsOf: file, encoding: .utf8).components(separatedBy: "\n")
            let place = try #require(lines.firstIndex { $0.contains(marker) }, "\(marker)")
            let isName = lines[place].contains("name: ")
            let start = try #require(
                isName
                    ? lines[place...].firstIndex { $0.hasSuffix("|") } : lines[...place].lastIndex { $0.hasSuffix("|") }
            )
            let indent = lines[start + 1].prefix { $0 == " " }.count
            let block = lines[(start + 1)...].prefix { $0.isEmpty || $0.prefix { $0 == " " }.count >= indent }
            let text = block.map { String($0.dropFirst(indent)) }.joined(separator: "\n")
            return self == .buildkite ? text.replacing("$$", with: "$") : text
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
        let outcome = try await run(
            provider, marker: provider == .github ? "Ask the agent with curl" : "# Ask the agent with")
        #expect(outcome.status == 0 && outcome.output.hasSuffix("pong\n"), "\(outcome)")
        // GitHub hides from the log what it is told to.
        let lines = outcome.output.split(separator: "\n").filter { !$0.hasPrefix("::add-mask::") }
        #expect(!(lines.joined() + outcome.error).contains("eyJ"), "\(outcome)")
    }

    @Test(arguments: Provider.allCases)
    func `stop with the broker's words where no rule matches`(provider: Provider) async throws {
        let outcome = try await run(
            provider, marker: provider == .github ? "Ask the agent with curl" : "# Ask the agent with",
            ref: "refs/heads/other")
        #expect(outcome.status == 1 && outcome.error.contains("no rule grants"), "\(outcome)")
        #expect(!outcome.output.contains("pong") && !outcome.error.contains("eyJ"))
    }

    @Test(
        .enabled(if: Programs.daypassPrintsTokens, "daypass token is not there yet"), arguments: Provider.allCases)
    func `get a token with daypass, and their agent an answer`(provider: Provider) async throws {
        let outcome = try await run(provider, marker: "apiKeyHelper")
        #expect(outcome.status == 0 && outcome.output == "pong\n", "\(outcome)")
    }

    private func run(_ provider: Provider, marker: String, ref: String = "refs/heads/main") async throws
        -> RunningProcess.Outcome
    {
        let stage = try await AnthropicStage()
        let workspace = stage.workspace
        // The audience is the broker's address, but for this stage's issuer, which has another one.
        let audience = RunningBroker.audience
        try stage.writeIdentityToken(ref: ref)
        try workspace.write("project/file", "")
        var environment = [
            "HOME": workspace.path("home"), "PATH": "\(workspace.path("bin")):/usr/bin:/bin",
            "DAYPASS_URL": stage.broker.origin, "DAYPASS_AUDIENCE": audience, "ANTHROPIC_BASE_URL": stage.origin,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_TELEMETRY": "1", "DISABLE_AUTOUPDATER": "1",
        ]
        for (name, program) in [("claude", try #require(Programs.claude)), ("daypass", Programs.daypass)] {
            let libraries = ProcessInfo.processInfo.environment["LD_LIBRARY_PATH"] ?? ""
            let prefix = name == "daypass" ? "LD_LIBRARY_PATH='\(libraries)' " : ""
            try workspace.write("bin/\(name).text", "#!/bin/sh\n\(prefix)exec '\(program)' \"$@\"\n")
            try await makeProgram(workspace, name)
        }
        var script = try provider.block(with: marker)
        // With curl the audience that is asked for is the broker's address.
        let asked = marker == "apiKeyHelper" ? audience : stage.broker.origin
        var service: RunningProcess?
        switch provider {
        case .github:
            let port = try Workspace.freePort()
            service = try RunningProcess(
                try #require(Programs.python), ["-c", Self.github, "\(port)", asked, stage.identityToken])
            try await waitUntil("GitHub's service listens") { Workspace.isListening(port) }
            environment["ACTIONS_ID_TOKEN_REQUEST_URL"] = "http://127.0.0.1:\(port)/token?api-version=2.0"
            environment["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = "request-token"
            environment["GITHUB_ACTIONS"] = "true"
        case .gitlab:
            environment["DAYPASS_ID_TOKEN"] = try String(contentsOfFile: stage.identityToken, encoding: .utf8)
            environment["GITLAB_CI"] = "true"
        case .buildkite:
            try await command(workspace, "buildkite-agent", wants: "oidc request-token --audience \(asked)")
            environment["BUILDKITE"] = "true"
            environment["BUILDKITE_JOB_ID"] = "0190-job"
        case .circleci:
            try await command(workspace, "circleci", wants: #"run oidc get --claims {"aud":"\#(asked)"}"#)
            environment["CIRCLECI"] = "true"
        case .kubernetes:
            try #require(script.contains("/var/run/secrets/daypass/token"))
            script = script.replacing("/var/run/secrets/daypass/token", with: stage.identityToken)
        }
        defer { service?.signal(SIGKILL) }
        // As each of them runs it.
        let options = provider == .kubernetes ? ["-c"] : ["-eo", "pipefail", "-c"]
        return try await RunningProcess(
            provider == .kubernetes ? "/bin/sh" : "/bin/bash", options + [script],
            in: workspace.folder.appending(path: "project"), environment: environment, seconds: 90
        ).outcome()
    }
}
