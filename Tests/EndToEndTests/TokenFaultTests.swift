import BrokerTesting
import Foundation
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `daypass token, where things go wrong` {
    private static let proof = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJqb2IifQ.c2VjcmV0"

    private func start(_ mode: String, _ port: Int, _ certificate: String? = nil) async throws -> RunningProcess {
        let script = Programs.repository.appending(path: "Tests/Peers/bad-broker.py").path(percentEncoded: false)
        let process = try RunningProcess(
            try #require(Programs.python), [script, "\(port)", mode] + (certificate.map { [$0] } ?? []))
        try await waitUntil("it listens") {
            try #require(process.isRunning, "\(process.error)")
            return Workspace.isListening(port)
        }
        return process
    }

    private func usual(_ workspace: Workspace, _ port: Int) -> [String: String] {
        [
            "HOME": workspace.path("home"), "DAYPASS_URL": "http://127.0.0.1:\(port)", "PROOF": Self.proof,
            "DAYPASS_IDENTITY": "env:PROOF",
        ]
    }

    private func settled() throws -> Workspace {
        let workspace = try Workspace()
        try workspace.write("home/x", "")
        return workspace
    }

    @Test(arguments: [
        ("silent", 69, "no answer in time"), ("drip", 69, "no answer in time"),
        ("html", 1, "answers 200 with text/html"),
        ("json-list", 1, "it is no broker"), ("expired", 1, "a token that has ended already"),
        ("endless", 1, "more than 65536 bytes"), ("redirect", 1, "answers 302"), ("echo", 1, "no: (a token)"),
        ("busy", 69, "answers 503: too many"), ("bad-gateway", 69, "answers 502"), ("deep", 1, "it is no broker"),
        ("session", 1, "not what belongs to one"),
    ])
    func `ends within ten seconds with one line, in which there is no secret`(
        mode: String, status: Int32, words: String
    ) async throws {
        let (workspace, port) = (try settled(), try Workspace.freePort())
        let broker = try await start(mode, port)
        let process = try TokenStage.start(["token"], usual(workspace, port))
        // Twice as long as it may take: this machine may be busy.
        let outcome = try await process.outcome(within: 20)
        #expect(outcome.status == status && outcome.output == "", "\(outcome)")
        #expect(outcome.error.hasPrefix("daypass: ") && outcome.error.contains(words), "\(outcome.error)")
        #expect(outcome.error.split(separator: "\n").count == 1, "\(outcome.error)")
        #expect(!outcome.error.contains("eyJ") && !outcome.error.contains("\u{1B}"))
        #expect(broker.output.split(separator: "\n").count == 1)
    }

    @Test func `shows its identity to nobody whose certificate is for the address alone`() async throws {
        let (workspace, port) = (try settled(), try Workspace.freePort())
        let made = try await RunningProcess(
            "/usr/bin/env",
            [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-days", "2",
                "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out",
                "certificate.pem",
            ], in: workspace.folder
        ).outcome()
        try #require(made.status == 0, "\(made.error)")
        let (key, certificate) = (
            try String(contentsOfFile: workspace.path("key.pem"), encoding: .utf8),
            try String(contentsOfFile: workspace.path("certificate.pem"), encoding: .utf8)
        )
        try workspace.write("both.pem", key + certificate)
        let broker = try await start("good", port, workspace.path("both.pem"))
        let authorities = ["--ca-file", workspace.path("certificate.pem")]
        let named = try await TokenStage.start(
            ["token", "--url", "https://localhost:\(port)"] + authorities, usual(workspace, port)
        ).outcome()
        #expect(named.status == 69 && named.output == "", "\(named)")
        #expect(named.error.contains("its certificate is for another name than the URL's"), "\(named.error)")
        let administered = try await AdministeredBroker.daypass(
            ["keys", "list", "--url", "https://localhost:\(port)"] + authorities, ["DAYPASS_TOKEN": "x"])
        #expect(administered.status == 69, "\(administered)")
        #expect(administered.error.contains("its certificate is for another name than the URL's"), "\(administered)")
        #expect(broker.output == "")
        let addressed = try await TokenStage.start(
            ["token", "--url", "https://127.0.0.1:\(port)"] + authorities, usual(workspace, port)
        ).outcome()
        #expect(addressed.status == 0 && addressed.output == "token-1\n" && addressed.error == "", "\(addressed)")
    }

    @Test func `waits for no writer of the authorities, nor of a certificate`() async throws {
        let (workspace, port) = (try settled(), try Workspace.freePort())
        try #require(mkfifo(workspace.path("pipe"), 0o600) == 0)
        let pipe = workspace.path("pipe")
        for (more, status) in [(["--ca-file", pipe], 2), (["--identity", "x509:\(pipe),\(pipe)"], 77)]
            as [([String], Int32)]
        {
            let outcome = try await TokenStage.start(["token"] + more, usual(workspace, port)).outcome(within: 20)
            #expect(outcome.status == status && outcome.error.contains("it is no file"), "\(outcome)")
        }
    }

    @Test func `comes again when it is told to, and reads its identity anew`() async throws {
        let (workspace, port) = (try settled(), try Workspace.freePort())
        let broker = try await start("busy-once", port)
        let file = workspace.path("home/identity")
        try workspace.write("home/identity", Self.proof)
        let process = try TokenStage.start(["token", "--identity", "file:\(file)"], usual(workspace, port))
        try await waitUntil("it has asked once") { broker.output.contains("\n") }
        try workspace.write("home/identity", Self.proof + "2")
        let outcome = try await process.outcome()
        #expect(outcome.status == 0 && outcome.output == "token-2\n" && outcome.error == "", "\(outcome)")
        #expect(Set(broker.output.split(separator: "\n")).count == 2)
    }

    @Test func `serves the kept token while the broker is gone or mute`() async throws {
        let (workspace, port) = (try settled(), try Workspace.freePort())
        var broker = try await start("good", port)
        #expect(try await TokenStage.start(["token"], usual(workspace, port)).outcome().output == "token-1\n")
        broker.signal(SIGKILL)
        _ = try await broker.outcome()
        let long = ["token", "--min-ttl", "1h"]
        let gone = try await TokenStage.start(long, usual(workspace, port)).outcome()
        #expect(gone.status == 0 && gone.output == "token-1\n")
        #expect(gone.error.hasPrefix("warning: the token is not renewed, and ends in "), "\(gone.error)")
        broker = try await start("silent", port)
        let mute = try await TokenStage.start(long, usual(workspace, port)).outcome(within: 20)
        #expect(mute.status == 0 && mute.output == "token-1\n")
        let end = Date(timeIntervalSinceNow: 2.1)
        try await waitUntil("the check is old") { Date() > end }
        let unchecked = try await TokenStage.start(["token"], usual(workspace, port)).outcome(within: 20)
        #expect(unchecked.status == 0 && unchecked.output == "token-1\n" && unchecked.error == "")
    }

    @Test(arguments: ["", "{", "\0\0\0", #"{"version":2,"key":"x"}"#])
    func `passes over a damaged cache, and mends it`(text: String) async throws {
        let (workspace, port) = (try settled(), try Workspace.freePort())
        let broker = try await start("good", port)
        _ = try await TokenStage.start(["token"], usual(workspace, port)).outcome()
        let folder = workspace.path("home/.cache/daypass")
        let name = try #require(
            try FileManager.default.contentsOfDirectory(atPath: folder).first { $0.hasSuffix(".token") })
        let file = try FileHandle(forWritingTo: URL(filePath: "\(folder)/\(name)"))
        try file.truncate(atOffset: 0)
        try file.write(contentsOf: Data(text.utf8))
        try file.close()
        let outcome = try await TokenStage.start(["token"], usual(workspace, port)).outcome()
        #expect(outcome.status == 0 && outcome.output == "token-2\n")
        #expect(
            outcome.error.split(separator: "\n").count == 1 && outcome.error.contains("and is not used"),
            "\(outcome.error)")
        let mended = try await TokenStage.start(["token"], usual(workspace, port)).outcome()
        #expect(mended.output == "token-2\n" && mended.error == "")
        withExtendedLifetime(broker) {}
    }

    @Test(arguments: ["a file", "others", "no home", "nothing set"])
    func `goes on without a cache where there can be none, with a line`(what: String) async throws {
        let (workspace, port) = (try settled(), try Workspace.freePort())
        let broker = try await start("good", port)
        var more: [String: String?] = [:]
        switch what {
        case "a file": try workspace.write("home/.cache", "a file")
        case "others":
            try workspace.write("home/.cache/daypass/x", "")
            chmod(workspace.path("home/.cache/daypass"), 0o755)
        case "no home": more["HOME"] = workspace.path("nothing/home")
        default: more["HOME"] = .some(nil)
        }
        for count in 1...2 {
            let outcome = try await TokenStage.start(["token"], usual(workspace, port), more).outcome()
            #expect(outcome.status == 0 && outcome.output == "token-\(count)\n", "\(outcome)")
            #expect(outcome.error.hasPrefix("warning: the token is not kept: "), "\(outcome.error)")
            #expect(outcome.error.split(separator: "\n").count == 1)
        }
        withExtendedLifetime(broker) {}
    }

    @Test(.enabled("a file system has to be mounted") { try await SmallDisk.isPossible() })
    func `gives the token out on a disk that is full, with a line`() async throws {
        let (workspace, port) = (try settled(), try Workspace.freePort())
        let broker = try await start("good", port)
        let script = """
            mkdir -m 700 "$HOME/.cache" && mount -t tmpfs -o size=64k,mode=700 none "$HOME/.cache" || exit 3
            mkdir -m 700 "$HOME/.cache/daypass" && : > "$HOME/.cache/daypass/filling" || exit 3
            cat /dev/zero > "$HOME/.cache/daypass/filling" 2>/dev/null
            "$0" token && "$0" token && ls "$HOME/.cache/daypass"
            """
        var environment = usual(workspace, port)
        for name in ["PATH", "LD_LIBRARY_PATH"] { environment[name] = ProcessInfo.processInfo.environment[name] }
        let outcome = try await RunningProcess(
            "/usr/bin/env", ["unshare", "-Urm", "/bin/sh", "-c", script, Programs.daypass], environment: environment
        ).outcome()
        #expect(outcome.status == 0, "\(outcome.error)")
        let lines = outcome.output.split(separator: "\n")
        #expect(lines.prefix(2) == ["token-1", "token-2"])
        #expect(lines.dropFirst(2).allSatisfy { $0 == "filling" || $0.hasSuffix(".lock") }, "no half file stays")
        let notes = outcome.error.split(separator: "\n")
        #expect(notes.count == 2 && notes.allSatisfy { $0.contains("No space left on device") }, "\(outcome.error)")
        withExtendedLifetime(broker) {}
    }

    @Test func `that is killed while it keeps a token is in nobody's way`() async throws {
        let (workspace, port) = (try settled(), try Workspace.freePort())
        let broker = try await start("good", port)
        let folder = workspace.path("home/.cache/daypass")
        for number in 0..<30 {
            let asked = broker.output.count
            let process = try TokenStage.start(["token"], usual(workspace, port))
            try await waitUntil("it starts") { broker.output.count > asked || !process.isRunning }
            // From the moment in which the answer goes out on, a little later each time.
            let end = ContinuousClock.now + .microseconds(number * 150)
            while ContinuousClock.now < end {}
            process.signal(SIGKILL)
            _ = try await process.outcome()
            let next = try await TokenStage.start(["token"], usual(workspace, port)).outcome()
            #expect(next.status == 0 && next.output.hasPrefix("token-") && next.error == "", "\(next)")
            let left = try FileManager.default.contentsOfDirectory(atPath: folder)
            #expect(left.count { $0.hasSuffix(".token") } == 1 && !left.contains { $0.hasSuffix(".new") }, "\(left)")
            // The next one begins with nothing kept.
            for name in left where name.hasSuffix(".token") { unlink("\(folder)/\(name)") }
        }
    }

    @Test func `says nothing secret in its arguments, nor to who reads the files of others`() async throws {
        let (workspace, port) = (try settled(), try Workspace.freePort())
        let broker = try await start("silent", port)
        let process = try TokenStage.start(["token"], usual(workspace, port))
        try await waitUntil("it has asked") { broker.output.contains("\n") }
        let line = try String(contentsOfFile: "/proc/\(process.id)/cmdline", encoding: .utf8)
        #expect(!line.contains("eyJ"))
        process.signal(SIGKILL)
        _ = try await process.outcome()
        // Killed in the middle: the next one is not in its way.
        let again = try await TokenStage.start(["token"], usual(workspace, port)).outcome(within: 20)
        #expect(again.status == 69 && !again.error.contains("another daypass"), "\(again.error)")
    }
}
