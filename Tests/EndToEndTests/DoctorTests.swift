import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `daypass doctor` {
    private func doctor(
        _ arguments: [String], _ environment: [String: String] = [:], in workspace: Workspace
    ) async throws -> RunningProcess.Outcome {
        let home = ["HOME": workspace.folder.path(percentEncoded: false)]
        return try await AdministeredBroker.daypass(
            ["doctor"] + arguments, home.merging(environment) { $1 }, in: workspace.folder)
    }

    private func broker() async throws -> (RunningBroker, TestIssuer) {
        let (workspace, issuer) = (try Workspace(), try TestIssuer())
        return (
            try await RunningBroker(
                workspace, issuersAndRules: RunningBroker.fileIssuer(issuer, in: workspace)), issuer
        )
    }

    /// What the broker's one rule grants something for.
    private func proof(_ issuer: TestIssuer) throws -> String {
        try issuer.token(
            issuer.claims(at: Date()).merging(["repository_id": "123456", "ref": "refs/heads/main"]))
    }

    /// Their levels and what they are about, in order.
    private func findings(_ outcome: RunningProcess.Outcome) throws -> [String] {
        let json = try JSONReader.readObject(Array(outcome.output.utf8))
        return try #require(json["findings"]?.array).map {
            "\($0.object?["level"]?.string?.string ?? "") \($0.object?["about"]?.string?.string ?? "")"
        }
    }

    @Test func `finds nothing where all is well, and a warning is no failure`() async throws {
        let (broker, issuer) = try await broker()
        let workspace = broker.workspace
        try workspace.write("token", try proof(issuer) + "\n")
        try workspace.write(
            ".claude/settings.json",
            #"{"apiKeyHelper": "A=b 'daypass' token", "env": {"ANTHROPIC_BASE_URL": "https://gateway.example.com"}}"#)
        let path = URL(filePath: Programs.daypass).deletingLastPathComponent().path(percentEncoded: false)
        let arguments = ["--url", broker.origin, "--identity", "file:token", "--audience", RunningBroker.audience]
        let environment = ["PATH": "\(path):/usr/bin:/bin", "HOME": workspace.folder.path(percentEncoded: false)]
        let well = try await RunningProcess(
            "/usr/bin/env", ["daypass", "doctor"] + arguments, in: workspace.folder,
            environment: environment.merging(ProcessInfo.processInfo.environment.filter { $0.key.hasPrefix("LD_") }) {
                $1
            }
        ).outcome()
        #expect(well.status == 0 && well.error == "", "\(well)")
        #expect(
            well.output == """
                ok       broker: \(broker.origin) answers
                ok       clock: as the broker's
                ok       helper: daypass, as .claude/settings.json says
                ok       token: rule ci-main grants anthropic:messages anthropic:count_tokens for 900 s

                """)
        let bare = try await doctor(
            ["--json"], ["DAYPASS_URL": broker.origin, "HOME": "/nonexistent"], in: try Workspace())
        #expect(bare.status == 1 && bare.output.contains("there is no identity here"), "\(bare)")
        #expect(try findings(bare) == ["ok broker", "ok clock", "warning helper", "problem identity"])
        let offline = try await doctor(arguments + ["--no-token"], in: workspace)
        #expect(offline.output.contains("ok       identity: the token of file:token is meant for the broker\n"))
        #expect(!offline.output.contains("ci-main"))
    }

    @Test func `tells a broker that is not there, and what is none`() async throws {
        let workspace = try Workspace()
        let port = try Workspace.freePort()
        let none = try await doctor(["--url", "http://127.0.0.1:\(port)"], in: workspace)
        #expect(none.status == 69 && none.error.contains("Connection refused"), "\(none)")
        #expect(none.output.contains("problem  broker: http://127.0.0.1:\(port): Connection refused\n         do: "))
        #expect(try await doctor([], in: workspace).output.contains("set DAYPASS_URL to its address"))
        let clear = try await doctor(["--url", "http://user:hunter2@daypass.example.com"], in: workspace)
        #expect(clear.status == 1 && clear.output.contains("what is named as its address is none"), "\(clear)")
        #expect(!(clear.output + clear.error).contains("hunter2"))
        let (broker, issuer) = try await broker()
        try workspace.write("token", try proof(issuer))
        let telemetry = try await doctor(["--url", broker.telemetry], in: workspace)
        #expect(telemetry.status == 1 && telemetry.output.contains("answers 404"), "\(telemetry)")
        let alias = try await doctor(
            ["--url", broker.origin.replacing("127.0.0.1", with: "localhost"), "--identity", "file:token"],
            in: workspace)
        #expect(alias.status == 0 && alias.output.contains("calls itself \(broker.origin)"), "\(alias)")
    }

    @Test func `waits for no answer that comes by and by, and for no writer of settings`() async throws {
        let workspace = try Workspace()
        let port = try Workspace.freePort()
        let script = Programs.repository.appending(path: "Tests/Peers/bad-broker.py").path(percentEncoded: false)
        let process = try RunningProcess(try #require(Programs.python), [script, "\(port)", "drip"])
        try await waitUntil("it listens") { Workspace.isListening(port) }
        let slow = try await doctor(["--url", "http://127.0.0.1:\(port)"], in: workspace)
        // All of it would be read as no answer of a broker.
        #expect(slow.status == 69 && slow.error.contains("no answer in time"), "\(slow)")
        process.signal(SIGKILL)
        try workspace.write(".claude/other", "")
        try #require(mkfifo(workspace.path(".claude/settings.json"), 0o600) == 0)
        let piped = try await doctor([], in: workspace)
        #expect(piped.status == 1 && piped.output.contains("problem  settings: .claude/settings.json: it is no file"))
    }

    /// What answers with this `Date`, as a broker would.
    @Test(
        .enabled(if: Programs.python != nil),
        // An answer from a cache is older than it looks; another has no date, or none that there is.
        arguments: [
            ("-3600", "0", "is 3[56][0-9]{2} s ahead of the broker's\n"),
            ("3600", "0", "is 3[56][0-9]{2} s behind the broker's\n"),
            ("0", "0", nil), ("-300", "300", nil), ("none", "0", "has no date"), ("-9", "0", "has no date"),
        ] as [(String, String, String?)])
    func `tells a clock that is wrong by an hour`(offset: String, age: String, words: String?) async throws {
        let workspace = try Workspace()
        let port = try Workspace.freePort()
        let server = """
            import sys, time, email.utils, http.server
            class Handler(http.server.BaseHTTPRequestHandler):
                def do_GET(self):
                    body = b'{"issuer": "http://127.0.0.1:%d"}' % int(sys.argv[1])
                    self.send_response_only(200)
                    if sys.argv[2] == "-9":
                        self.send_header("Date", "Sun, 06 Nov 1994 -9:-9:-2147483648 GMT")
                    elif sys.argv[2] != "none":
                        self.send_header("Date", email.utils.formatdate(time.time() + float(sys.argv[2]), usegmt=True))
                    self.send_header("Age", sys.argv[3])
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
            http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
            """
        let process = try RunningProcess(try #require(Programs.python), ["-c", server, "\(port)", offset, age])
        try await waitUntil("it listens") {
            try #require(process.isRunning, "\(process.error)")
            return Workspace.isListening(port)
        }
        let outcome = try await doctor(["--url", "http://127.0.0.1:\(port)"], in: workspace)
        guard let words else {
            #expect(outcome.output.contains("ok       clock: as the broker's\n"), "\(outcome)")
            return
        }
        #expect(outcome.status == 1, "\(outcome)")
        #expect(outcome.output.contains(try Regex("(problem|warning)  clock: .*\(words)")), "\(outcome)")
    }

    @Test func `tells a helper that cannot be run, is not there, or is hidden by damaged settings`() async throws {
        let (broker, _) = try await broker()
        let workspace = broker.workspace
        try workspace.write("helper", "#!/bin/sh\n")
        try workspace.write("script", "#!/nonexistent/sh\n")
        chmod(workspace.path("script"), 0o755)
        let environment = ["ANTHROPIC_BASE_URL": "https://gateway.example.com", "DAYPASS_URL": broker.origin]
        let file = workspace.path("helper")
        let helpers: [(String, String)] = [
            (
                #"{"apiKeyHelper": "\#(file) a"}"#,
                "helper: \(file) cannot be run by this user\n         do: chmod +x \(file)"
            ),
            (#"{"apiKeyHelper": "A=b /nonexistent/daypass token"}"#, "names /nonexistent/daypass, which is not there"),
            (#"{"apiKeyHelper": "no-such-program-here"}"#, "names no-such-program-here, which is not there"),
            (#"{"apiKeyHelper": "\#(workspace.path("")) a"}"#, "cannot be run by this user"),
            (#"{"apiKeyHelper": "/bin/true",}"#, "is no JSON object: Claude Code ignores all of it"),
            (#"{"apiKeyHelper": "exec /nonexistent/daypass token"}"#, "names /nonexistent/daypass, which is not there"),
            (#"{"apiKeyHelper": "/usr/bin/env A=b '~/daypass' token"}"#, "names ~/daypass, which is not there"),
            (#"{"apiKeyHelper": "\#(workspace.path("script"))"}"#, "wants /nonexistent/sh, which cannot be run"),
            (#"{"apiKeyHelper": "\#(Programs.daypass)"}"#, "prints no bare token"),
            (#"{"apiKeyHelper": "\#(Programs.daypass) token --json"}"#, "prints no bare token"),
            (#"{"apiKeyHelper": "\#(Programs.daypass) token --no-such"}"#, "prints no bare token"),
            (#"{"apiKeyHelper": "/bin/true", "env": {"CLAUDE_CODE_USE_BEDROCK": 1}}"#, "USE_BEDROCK is set"),
            (
                #"{"apiKeyHelper": "/bin/true", "env": {"ANTHROPIC_BASE_URL": "https://API.anthropic.com/"}}"#,
                "ANTHROPIC_BASE_URL is the provider"
            ),
            (#"{"env": {"ANTHROPIC_PROFILE": "none"}}"#, ".config/anthropic/configs/none.json: No such file"),
            (#"{"apiKeyHelper": "/bin/true", "env": {"ANTHROPIC_API_KEY": "k"}}"#, "do: take ANTHROPIC_API_KEY out of"),
        ]
        for (settings, words) in helpers {
            try workspace.write(".claude/settings.json", settings)
            let outcome = try await doctor([], environment, in: workspace)
            #expect(outcome.status == 1 && outcome.output.contains(words), "\(settings): \(outcome)")
        }
        try workspace.write(".claude/settings.json", #"{"apiKeyHelper": "cat x | sh"}"#)
        let shell = try await doctor(["--json"], environment, in: workspace)
        #expect(shell.status == 0, "\(shell)")
        // Each of which Claude Code takes; forceLoginMethod keeps it from its helper in the machine's settings alone.
        for text in [
            "\u{FEFF}{\"apiKeyHelper\": \"/bin/true\"}", "", "\n", #"{"x": "\ud800"}"#, #"{"x": 1e999}"#,
            #"{"apiKeyHelper": "/bin/true", "forceLoginMethod": "console"}"#, #"{"apiKeyHelper": "command true"}"#,
        ] {
            try workspace.write(".claude/settings.json", text)
            let fine = try await doctor(["--identity", "env:PATH", "--no-token"], environment, in: workspace)
            #expect(!fine.output.contains("problem  settings") && !fine.output.contains("problem  helper"), "\(fine)")
        }
        try workspace.write(".claude/settings.json", #"{"apiKeyHelper": "/bin/true"}"#)
        let direct = try await doctor([], ["DAYPASS_URL": broker.origin], in: workspace)
        #expect(direct.output.contains("gateway: ANTHROPIC_BASE_URL is not set"), "\(direct)")
    }

    @Test func `tells an identity token that is meant for another, has ended, or is none`() async throws {
        let (broker, issuer) = try await broker()
        let workspace = broker.workspace
        let now = Date()
        let endless = issuer.claims(at: now).members.filter { $0.name != "exp" }.map { ($0.name, $0.value) }
        let tokens: [(String, String)] = [
            (
                try issuer.token(issuer.claims(audience: "sts.amazonaws.com", at: now)),
                "is meant for sts.amazonaws.com\n"
            ),
            (try issuer.token(issuer.claims(at: now - 1000)), "ended at "),
            ("a.b.c", "is no signed token"), ("", "holds no token"),
            (try issuer.token(JSONObject(uniqueMembers: endless)), "does not say when it ends"),
        ]
        for (token, words) in tokens {
            try workspace.write("token", token + "\n")
            for identity in ["file:token", "env:IDENTITY"] where identity.hasPrefix("file") || !token.isEmpty {
                let outcome = try await doctor(
                    ["--identity", identity, "--audience", RunningBroker.audience],
                    ["DAYPASS_URL": broker.origin, "IDENTITY": token], in: workspace)
                #expect(outcome.status == 1 && outcome.output.contains(words), "\(outcome)")
                #expect(token.isEmpty || !outcome.output.contains(token))
            }
        }
        let missing = try await doctor(["--identity", "file:none"], ["DAYPASS_URL": broker.origin], in: workspace)
        #expect(missing.status == 1 && missing.output.contains("none: No such file"), "\(missing)")
        #expect(try await doctor(["--identity", "x509:a"], in: workspace).status == 2)
        let job = try await doctor([], ["DAYPASS_URL": broker.origin, "GITHUB_ACTIONS": "true"], in: workspace)
        #expect(job.status == 1 && job.output.contains("id-token: write"), "\(job)")
    }

    /// Hours since it began, hours that are left, the mode of its key, and what is said of it.
    @Test(arguments: [
        (1.0, 1.0, 0o600, "ok       identity: svid.pem counts until ", 0),
        (3.1, 0.9, 0o600, "warning  identity: svid.pem ends at ", 0),
        (3.0, -0.1, 0o600, "problem  identity: svid.pem ended at ", 1),
        (-1.0, 2.0, 0o600, "problem  identity: svid.pem counts from ", 1),
        (1.0, 1.0, 0o644, "do: chmod 600 svid.key", 0),
    ])
    func `tells a certificate that ends soon`(
        age: Double, left: Double, mode: Int, words: String, status: Int
    ) async throws {
        let (broker, _) = try await broker()
        let workspace = broker.workspace
        let certificate = try TestCA().workload { template in
            var template = template
            template.notBefore = Date(timeIntervalSinceNow: -age * 3600)
            template.notAfter = Date(timeIntervalSinceNow: left * 3600)
            return template
        }
        let text = Data(certificate).base64EncodedString(options: [.lineLength64Characters, .endLineWithLineFeed])
        try workspace.write("svid.pem", "-----BEGIN CERTIFICATE-----\n\(text)\n-----END CERTIFICATE-----\n")
        try workspace.write("svid.key", "not read")
        chmod(workspace.path("svid.key"), mode_t(mode))
        let outcome = try await doctor(
            ["--identity", "x509:svid.pem,svid.key", "--no-token"], ["DAYPASS_URL": broker.origin], in: workspace)
        #expect(outcome.status == Int32(status) && outcome.output.contains(words), "\(outcome)")
        let asked = try await doctor(
            ["--identity", "x509:svid.pem,svid.key"], ["DAYPASS_URL": broker.origin], in: workspace)
        #expect(asked.status == 1 && asked.output.contains("problem  token: svid.key: it holds no private key in PEM"))
        let none = try await doctor(
            ["--identity", "x509:svid.key,none"], ["DAYPASS_URL": broker.origin], in: workspace)
        #expect(none.status == 1 && none.output.contains("no certificate in PEM can be read"), "\(none)")
    }
}
