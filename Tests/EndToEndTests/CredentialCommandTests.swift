import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `The command for provider credentials` {
    /// `daypass credentials add` with these bytes on standard input.
    private static func add(
        _ bytes: [UInt8], _ arguments: [String] = [], _ broker: AdministeredBroker
    ) async throws -> RunningProcess.Outcome {
        try broker.workspace.write("input", bytes)
        return try await AdministeredBroker.daypass(
            ["credentials", "add", "anthropic"] + arguments,
            ["DAYPASS_SOCKET": broker.socket, "INPUT": broker.workspace.path("input")],
            through: ["/bin/sh", "-c", #""$0" "$@" < "$INPUT""#])
    }

    private static func hold(_ broker: AdministeredBroker) {
        broker.fake.credentials.hold(
            [
                Sample.credential("anthropic", 1, .active), Sample.credential("anthropic", 2),
                Sample.credential("openai", 1, .draining),
            ].map { credential in
                let version = credential.version
                guard version.number == 1 else { return version }
                return version.used(
                    CredentialUse(version.provider, 1, first: Sample.time, last: Sample.time.addingTimeInterval(60)))
            })
    }

    /// What goes in, and what of it is the secret: all but one line end, or with --exact all.
    @Test(
        arguments: [
            ("sk-ant", [], "sk-ant"), ("sk-ant\n", [], "sk-ant"), ("sk-ant\r\n", [], "sk-ant"),
            ("sk-ant\n\n", [], "sk-ant\n"), ("a\nb\nc\n", [], "a\nb\nc"), ("sk\u{0}ant\u{0}", [], "sk\u{0}ant\u{0}"),
            (" sk-ant ", [], " sk-ant "), ("\n\n", [], "\n"), ("sk-ant\r", [], "sk-ant\r"),
            ("sk-ant\n", ["--exact"], "sk-ant\n"), ("\n", ["--exact"], "\n"), ("sk-ant\r\n", ["--exact"], "sk-ant\r\n"),
        ] as [(String, [String], String)])
    func `add reads standard input to the byte`(_ input: String, _ arguments: [String], _ secret: String) async throws {
        try await AdministeredBroker.run { broker in
            let outcome = try await Self.add(Array(input.utf8), arguments, broker)
            #expect(outcome.status == 0, "\(outcome.error)")
            #expect(broker.fake.credentials.secrets == [Array(secret.utf8)])
            #expect(!(outcome.output + outcome.error).contains("sk-ant"))
        }
    }

    @Test func `add says which version it is, that nothing uses it yet, and with --json the same`() async throws {
        try await AdministeredBroker.run { broker in
            let outcome = try await Self.add([1, 2, 3], [], broker)
            #expect(
                outcome.output.hasPrefix(
                    """
                    PROVIDER   VERSION  STATE   SINCE                 FIRST USE  LAST USE
                    anthropic  1        staged  2027-01-15T08:00:00Z  -          -
                    """), "\(outcome.output)")
            #expect(
                outcome.error == "it is not used yet; `daypass credentials promote anthropic 1` has it used\n",
                "\(outcome.error)")
            let json = try await Self.add([4], ["--json"], broker)
            let added = try JSONReader.readObject(Array(json.output.utf8))
            #expect(added["version"] == 2 && added["state"] == "staged" && json.error == "", "\(json.output)")
        }
    }

    @Test(arguments: [(65_536, 0), (65_537, 2), (200_000, 2), (0, 2)])
    func `add takes 1 to 65536 bytes, from standard input and from a file`(_ count: Int, _ status: Int) async throws {
        try await AdministeredBroker.run { broker in
            let bytes = (0..<count).map { UInt8(1 + $0 % 9) }
            let input = try await Self.add(bytes, ["--exact"], broker)
            #expect(input.status == status, "\(input.error)")
            let file = try await broker.daypass(
                "credentials", "add", "anthropic", "--file", broker.workspace.path("input"))
            #expect(file.status == status, "\(file.error)")
            #expect(broker.fake.credentials.secrets == (status == 0 ? [bytes, bytes] : []))
        }
    }

    @Test func `add reads a file of its owner alone, warns of another, and refuses what cannot be read`() async throws {
        try await AdministeredBroker.run { broker in
            let file = broker.workspace.path("key")
            try broker.workspace.write("key", "sk-ant\n")
            for (mode, warns) in [(0o600, false), (0o644, true)] {
                try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file)
                let outcome = try await broker.daypass("credentials", "add", "anthropic", "--file", file)
                #expect(outcome.status == 0, "\(outcome.error)")
                #expect(outcome.error.contains("warning: others than its owner have access to") == warns)
            }
            #expect(broker.fake.credentials.secrets == [Array("sk-ant".utf8), Array("sk-ant".utf8)])
            for (path, words) in [
                (broker.workspace.path("none"), "No such file or directory"),
                (broker.workspace.path(""), "Is a directory"), ("/dev/zero", "has more than 65536 bytes"),
                ("/dev/null", "the secret is empty"),
            ] {
                let outcome = try await broker.daypass("credentials", "add", "anthropic", "--file", path)
                #expect(outcome.status == 2 && outcome.error.contains(words), "\(path): \(outcome.error)")
            }
            #expect(broker.fake.credentials.secrets.count == 2)
        }
    }

    @Test func `add ends where a pipe does not: by its size, and by its time`() async throws {
        try await AdministeredBroker.run { broker in
            let endless = try await AdministeredBroker.daypass(
                ["credentials", "add", "anthropic"], ["DAYPASS_SOCKET": broker.socket],
                through: ["/bin/sh", "-c", #"yes | "$0" "$@""#])
            #expect(endless.status == 2 && endless.error.contains("has more than 65536 bytes"), "\(endless.error)")
            // One that says something now and then, and one that never does.
            let pipe = broker.workspace.path("pipe")
            try #require(mkfifo(pipe, 0o600) == 0)
            for shell in [
                #"(while echo x; do sleep 0.2; done) > "$PIPE" 2> /dev/null & "$0" "$@" < "$PIPE""#,
                #""$0" "$@" 0<> "$PIPE""#,
            ] {
                let slow = try await AdministeredBroker.daypass(
                    ["credentials", "add", "anthropic", "--timeout", "1"],
                    ["DAYPASS_SOCKET": broker.socket, "PIPE": pipe], through: ["/bin/sh", "-c", shell])
                #expect(
                    slow.status == 1 && slow.error.contains("did not come to its end within 1 s"), "\(slow.error)")
            }
            // Nobody ever opens it to write.
            let named = try await broker.daypass(
                "credentials", "add", "anthropic", "--file", pipe, "--timeout", "1")
            #expect(named.status == 1, "\(named.error)")
            #expect(broker.fake.credentials.secrets == [])
        }
    }

    @Test(arguments: [
        ["anthropic", "sk-ant-api03-XYZ"], ["anthropic", "--secret", "sk-ant-api03-XYZ"],
        ["anthropic", "--secret=sk-ant-api03-XYZ"], ["anthropic", "--key=sk-ant-api03-XYZ"],
        ["sk-ant-api03-XYZ"], ["--file", "/dev/null", "anthropic", "sk-ant-api03-XYZ"],
        ["anthropic", "--", "sk-ant-api03-XYZ"], ["--sk-ant-api03-XYZ"], ["anthropic", "-k", "sk-ant-api03-XYZ"],
    ])
    func `add takes no secret as an argument, and does not repeat it`(_ arguments: [String]) async throws {
        try await AdministeredBroker.run { broker in
            let outcome = try await AdministeredBroker.daypass(
                ["credentials", "add"] + arguments, ["DAYPASS_SOCKET": broker.socket],
                through: ["/bin/sh", "-c", #"printf sk-other | "$0" "$@""#])
            #expect(outcome.status == 2, "\(outcome.status) \(outcome.error)")
            #expect(!(outcome.output + outcome.error).contains("XYZ"), "\(outcome.error)")
            if arguments.contains("anthropic") {
                #expect(outcome.error.contains("A secret is not given as an argument"), "\(outcome.error)")
            }
            #expect(broker.fake.credentials.secrets == [])
        }
    }

    @Test(arguments: [
        ["promote", "anthropic", "sk-ant-api03-XYZ"], ["promote", "anthropic", "2", "sk-ant-api03-XYZ"],
        ["promote", "sk-ant-api03-XYZ"], ["promote", "anthropic", "--secret", "sk-ant-api03-XYZ"],
        ["promote", "anthropic", "--secret=sk-ant-api03-XYZ"], ["promote", "--sk-ant-api03-XYZ"],
        ["promote", "anthropic", "-sk-ant-api03-XYZ"], ["retire", "anthropic", "sk-ant-api03-XYZ", "--yes"],
        ["retire", "anthropic", "1", "sk-ant-api03-XYZ", "--yes"], ["retire", "sk-ant-api03-XYZ", "1", "--yes"],
        ["list", "anthropic", "sk-ant-api03-XYZ"], ["list", "sk-ant-api03-XYZ"],
        ["list", "--limit", "sk-ant-api03-XYZ"],
        ["list", "--limit=sk-ant-api03-XYZ"], ["sk-ant-api03-XYZ"], ["set", "anthropic", "sk-ant-api03-XYZ"],
        ["--key", "sk-ant-api03-XYZ"], ["add", "anthropic", "--timeout", "sk-ant-api03-XYZ"],
        ["add", "anthropic", "--file", "sk-ant-api03-XYZ"], ["add", "anthropic", "--json=sk-ant-api03-XYZ"],
    ])
    func `no subcommand repeats what may be a secret`(_ arguments: [String]) async throws {
        try await AdministeredBroker.run { broker in
            Self.hold(broker)
            let before = broker.fake.credentials.versions
            for command in ["credentials", "credential"] {
                let outcome = try await AdministeredBroker.daypass(
                    [command] + arguments, ["DAYPASS_SOCKET": broker.socket])
                #expect(outcome.status == 2, "\(outcome.status) \(outcome.error)")
                #expect(!(outcome.output + outcome.error).contains("XYZ"), "\(outcome.error)")
                #expect(!(outcome.output + outcome.error).contains("sk-"), "\(outcome.error)")
                #expect(outcome.error.count > 20, "it says something: \(outcome.error)")
            }
            #expect(broker.fake.credentials.versions == before)
        }
    }

    @Test func `what is no secret is still said: what is missing, and which option nobody knows`() async throws {
        for (arguments, words) in [
            (["promote"], "Missing expected argument '<provider>'"),
            (["retire", "anthropic", "--yes"], "Missing expected argument '<version>'"),
            (["promote", "anthropic", "two"], "The value 'not-shown' is invalid for '<version>'"),
            (["promote", "anthropic", "--yes"], "Unknown option '--yes'"),
            (["list", "Anthropic"], "PROVIDER is a name such as anthropic"),
            (["promote", "anthropic", "0"], "A version is a number from 1 on."),
        ] {
            let outcome = try await AdministeredBroker.daypass(["credentials"] + arguments, [:])
            #expect(outcome.status == 2 && outcome.error.contains(words), "\(arguments): \(outcome.error)")
        }
    }

    /// The terminal is the test's, not the command's: it is there when the command has ended.
    private static let ended = """
        import os, pty, signal, subprocess, sys, termios
        ours, theirs = pty.openpty()
        before = termios.tcgetattr(theirs)
        process = subprocess.Popen(sys.argv[1:], stdin=theirs, stderr=subprocess.PIPE)
        while b"):" not in process.stderr.readline(): pass
        while termios.tcgetattr(theirs)[3] & termios.ECHO: pass
        os.write(ours, b"sk-ant-half")
        os.kill(process.pid, getattr(signal, os.environ["SIGNAL"]))
        status = process.wait()
        same = termios.tcgetattr(theirs) == before
        os.write(ours, b"\\n")
        print(-status == getattr(signal, os.environ["SIGNAL"]), same, os.read(theirs, 100))
        """

    @Test(.enabled(if: Programs.python != nil), arguments: ["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT"])
    func `a signal that ends it leaves a terminal that shows, and nothing of what was typed`(_ signal: String)
        async throws
    {
        try await AdministeredBroker.run { broker in
            let outcome = try await AdministeredBroker.daypass(
                ["credentials", "add", "anthropic"],
                ["DAYPASS_SOCKET": broker.socket, "SIGNAL": signal, "TERM": "dumb"],
                through: [try #require(Programs.python), "-c", Self.ended])
            #expect(outcome.output == "True True b'\\n'\n", "\(outcome.output) \(outcome.error)")
            #expect(broker.fake.credentials.secrets == [])
        }
    }

    @Test(.enabled(if: Programs.python != nil)) func `add asks on a terminal, which does not show what is typed`()
        async throws
    {
        let script = """
            import os, pty, sys, termios
            pid, terminal = pty.fork()
            if pid == 0:
                os.execv(sys.argv[1], sys.argv[1:])
            output = b""
            def more():
                global output
                try:
                    read = os.read(terminal, 65536)
                except OSError:
                    return False
                output += read
                return bool(read)
            while b"):" not in output and more(): pass
            # The words come before the terminal is told to hide.
            while termios.tcgetattr(terminal)[3] & termios.ECHO: pass
            os.write(terminal, os.environ["ANSWER"].encode().decode("unicode_escape").encode("latin-1") + b"\\n")
            while more(): pass
            os.write(1, output)
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            """
        try await AdministeredBroker.run { broker in
            let python = try #require(Programs.python)
            for (answer, status) in [
                ("sk-ant-typed", 0), ("", 2), ("sk-ant-\\x03", 2), (String(repeating: "k", count: 4094), 0),
                (String(repeating: "k", count: 5000), 2),
            ] {
                let outcome = try await AdministeredBroker.daypass(
                    ["credentials", "add", "anthropic"],
                    ["DAYPASS_SOCKET": broker.socket, "ANSWER": answer, "TERM": "dumb"],
                    through: [python, "-c", script])
                #expect(outcome.status == status, "\(answer.prefix(20)): \(outcome.output)")
                #expect(!outcome.output.contains("sk-ant") && !outcome.output.contains("kkk"), "\(outcome.output)")
                #expect(outcome.output.contains("Enter alone gives up; Ctrl-C does not"))
            }
            #expect(
                broker.fake.credentials.secrets == [
                    Array("sk-ant-typed".utf8), [UInt8](repeating: UInt8(ascii: "k"), count: 4094),
                ])
        }
    }

    @Test func `list shows versions, states and uses, of all providers or of one`() async throws {
        try await AdministeredBroker.run { broker in
            let none = try await broker.daypass("credentials", "list")
            #expect(none.status == 0 && none.output == "" && none.error == "none\n")
            Self.hold(broker)
            let all = try await broker.daypass("credentials", "list")
            #expect(
                all.output == """
                    PROVIDER   VERSION  STATE     SINCE                 FIRST USE             LAST USE
                    anthropic  1        active    2023-11-14T22:13:20Z  2023-11-14T22:13:20Z  2023-11-14T22:14:20Z
                    anthropic  2        staged    2023-11-14T22:13:20Z  -                     -
                    openai     1        draining  2023-11-14T22:13:20Z  2023-11-14T22:13:20Z  2023-11-14T22:14:20Z

                    """, "\(all.output)")
            let one = try await broker.daypass("credentials", "list", "openai", "--json")
            let json = try JSONReader.readObject(Array(one.output.utf8))
            #expect(json["complete"] == true)
            #expect(json["credentials"]?.array?.map { $0.object?["provider"] } == ["openai"])
            #expect(
                json["credentials"]?.array?.first?.object?["caller"]
                    == ["by": "token", "sub": "ci:é\u{0}", "sid": "s1", "rule": "admins"], "\(one.output)")
            let part = try await broker.daypass("credentials", "list", "--limit", "1")
            #expect(part.output.split(separator: "\n").count == 2)
            #expect(part.error == "there are more: --limit shows them\n")
        }
    }

    @Test(.enabled(if: Programs.python != nil))
    func `on a terminal of 80 columns the provider and every moment are whole`() async throws {
        try await AdministeredBroker.run { broker in
            Self.hold(broker)
            let piped = try await broker.daypass("credentials", "list")
            let shown = try await OnTerminal.daypass(["credentials", "list"], socket: broker.socket)
            #expect(shown.output == piped.output && shown.output.contains("2023-11-14T22:14:20Z"), "\(shown.output)")
        }
    }

    @Test func `promote names a version, or means the one that is staged`() async throws {
        try await AdministeredBroker.run { broker in
            Self.hold(broker)
            let meant = try await broker.daypass("credentials", "promote", "anthropic")
            #expect(meant.status == 0, "\(meant.error)")
            let rows = meant.output.split(separator: "\n")
            #expect(rows.count == 3 && rows[1].hasPrefix("anthropic  2        active "), "\(meant.output)")
            #expect(rows[2].hasPrefix("anthropic  1        draining ") && meant.error == "")
            let again = try await broker.daypass("credentials", "promote", "anthropic", "2")
            #expect(again.status == 0 && again.error == "it is active already: nothing was changed\n", "\(again.error)")
            #expect(again.output.split(separator: "\n").count == 2)
            let none = try await broker.daypass("credentials", "promote", "anthropic")
            #expect(none.status == 1 && none.error.contains("no version of the credential of anthropic is staged"))
            let json = try await broker.daypass("credentials", "promote", "anthropic", "1", "--json")
            #expect(try JSONReader.readObject(Array(json.output.utf8))["active"]?.object?["version"] == 1)
            broker.fake.credentials.hold([Sample.credential("a", 1), Sample.credential("a", 2)].map(\.version))
            let two = try await broker.daypass("credentials", "promote", "a")
            #expect(two.status == 1 && two.error.contains("versions 1, 2 of the credential of a are staged: say which"))
            #expect(broker.fake.credentials.versions.allSatisfy { $0.state == .staged })
        }
    }

    @Test func `retire shows with --dry-run what would go, and changes nothing`() async throws {
        try await AdministeredBroker.run { broker in
            Self.hold(broker)
            let before = broker.fake.credentials.versions
            let dry = try await broker.daypass("credentials", "retire", "openai", "1", "--dry-run")
            #expect(dry.status == 0 && dry.error == "this version would be retired, and its secret erased:\n")
            #expect(dry.output.contains("2023-11-14T22:14:20Z"), "\(dry.output)")
            let active = try await broker.daypass("credentials", "retire", "anthropic", "1", "--dry-run")
            #expect(active.status == 1 && active.output == "", "\(active.output)")
            #expect(active.error.contains("is the active one: promote another one first"), "\(active.error)")
            let asked = try await broker.daypass("credentials", "retire", "openai", "1", "--dry-run", "--json")
            #expect(try JSONReader.readObject(Array(asked.output.utf8))["state"] == "draining", "\(asked.output)")
            let unknown = try await broker.daypass("credentials", "retire", "anthropic", "7", "--dry-run")
            #expect(unknown.status == 1 && unknown.error.contains("there is no version 7"), "\(unknown.error)")
            #expect(broker.fake.credentials.versions == before)
            let done = try await broker.daypass("credentials", "retire", "openai", "1", "--yes")
            #expect(done.status == 0 && done.output.contains("retired"), "\(done.error)")
            let again = try await broker.daypass("credentials", "retire", "openai", "1", "--dry-run")
            #expect(again.status == 0 && again.error == "it is retired already\n", "\(again.error)")
            #expect(broker.fake.credentials.versions.last?.state == .retired)
        }
    }
}
