import Broker
import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

/// `daypass audit`, over real listeners.
@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `Searching the audit record` {
    private static let events = (0..<5).map { number in
        AuditEvent(
            time: Sample.time.addingTimeInterval(Double(number)), trace: trace(number),
            kind: number == 4 ? .exchangeRefused : .exchangeGranted, issuer: Sample.issuer,
            subject: number.isMultiple(of: 2) ? "ci:a" : "ci:\u{1B}[2K\u{202E}b", rule: "r",
            reason: number == 4 ? "no_rule" : nil, details: ["number": .number(Double(number))])
    }

    private static func trace(_ number: Int) -> TraceID {
        TraceID(parsing: "0000000000000000000000000000000\(number)") ?? TraceID()
    }

    private func run(_ body: @escaping @Sendable (AdministeredBroker) async throws -> Void) async throws {
        try await AdministeredBroker.run { broker in
            broker.fake.record(Self.events)
            try await body(broker)
        }
    }

    @Test func `search lists the last records first, as a table and as JSON`() async throws {
        try await run { broker in
            let table = try await broker.daypass("audit", "search", "--limit", "3")
            #expect(
                table.output == """
                    TIME                      KIND              SUBJECT                RULE  REASON   TRACE
                    2023-11-14T22:13:24.250Z  exchange.refused  ci:a                   r     no_rule  \(Self.trace(4))
                    2023-11-14T22:13:23.250Z  exchange.granted  ci:\\u{1B}[2K\\u{202E}b  r     -        \(Self.trace(3))
                    2023-11-14T22:13:22.250Z  exchange.granted  ci:a                   r     -        \(Self.trace(2))

                    """)
            #expect(table.status == 0 && table.error == "there are more: --limit shows them\n")
            let json = try await broker.daypass("audit", "search", "--json")
            let records = try #require(try JSONReader.readObject(Array(json.output.utf8))["records"]?.array)
            #expect(records.map { $0.object?["sequence"] } == [5, 4, 3, 2, 1])
            #expect(records[1].object?["subject"] == "ci:\u{1B}[2K\u{202E}b")
        }
    }

    @Test func `search asks for what its options say`() async throws {
        try await run { broker in
            let outcome = try await broker.daypass(
                "audit", "search", "--since", "2023-11-14T22:13:22.250Z", "--until", "2027-01-01T00:00:00Z", "--kind",
                "exchange.refused", "--subject", "ci:a", "--rule", "r", "--trace", Self.trace(4).description,
                "--session", "s1", "--token", "t1")
            #expect(outcome.status == 0 && outcome.error == "none\n", "\(outcome.error)")
            #expect(
                broker.fake.calls.conditions == [
                    AuditCondition(
                        since: Sample.time + 2, until: Date(timeIntervalSince1970: 1_798_761_600),
                        kind: .exchangeRefused, subject: "ci:a", rule: "r", trace: Self.trace(4), session: "s1",
                        token: "t1")
                ])
            let before = Date()
            _ = try await broker.daypass("audit", "search", "--since", "7d")
            let since = try #require(broker.fake.calls.conditions.last?.since)
            #expect(abs(since.timeIntervalSince(before) + 7 * 86_400) < 60)
        }
    }

    @Test(arguments: [
        ["audit", "search", "--since", "yesterday"], ["audit", "search", "--subject", ""],
        ["audit", "search", "--limit", "0"], ["audit", "tail", "-n", "1001"], ["audit", "export", "--after", "x"],
        ["audit", "search", "--trace", "a/b"], ["audit", "search", "--trace", "zz"],
        ["audit", "search", "--since", "5d", "--until", "10d"],
        ["audit", "tail", "--since", "2027-01-02", "--until", "2027-01-02T00:00:00Z"],
        ["audit", "export", "--since", "1h", "--until", "2023-01-01"],
    ])
    func `what cannot be asked for ends with 2`(_ arguments: [String]) async throws {
        let outcome = try await AdministeredBroker.daypass(arguments, ["DAYPASS_SOCKET": "/nonexistent/admin.sock"])
        #expect(outcome.status == 2 && outcome.output == "", "\(outcome)")
    }

    @Test(arguments: [
        (["audit", "search", "--since", "tomorrow"], "2027-01-31T12:00:00Z"),
        (["audit", "search", "--until", "2027-02-30"], "a day such as 2027-01-31"),
        (["audit", "search", "--since", "2d", "--until", "3d"], "has to be later than --since"),
        (["audit", "search", "--trace", "xyz"], "a trace id is 32 hexadecimal digits"),
        (["explain", "0199e1c4"], "a trace id is 32 hexadecimal digits"),
        (["audit", "search", "--session", "a b"], "1 to 128 letters, digits, - and _"),
        (["audit", "search", "--token", ""], "1 to 128 letters, digits, - and _"),
        (["sessions", "show", "a/b"], "1 to 128 letters, digits, - and _"),
        (["keys", "revoke", "ä", "--yes"], "1 to 128 letters, digits, - and _"),
    ])
    func `what has another form is refused with the form that it has`(_ arguments: [String], _ words: String)
        async throws
    {
        let outcome = try await AdministeredBroker.daypass(arguments, ["DAYPASS_SOCKET": "/nonexistent/admin.sock"])
        #expect(outcome.status == 2 && outcome.error.contains(words), "\(outcome.error)")
    }

    @Test func `a day begins at 00:00 UTC`() async throws {
        try await run { broker in
            let outcome = try await broker.daypass("audit", "search", "--since", "2023-11-15", "--until", "2023-12-01")
            #expect(outcome.status == 0 && outcome.error == "none\n", "\(outcome.error)")
            let asked = broker.fake.calls.conditions.last
            #expect(asked?.since == Date(timeIntervalSince1970: 1_700_006_400))
            #expect(asked?.until == Date(timeIntervalSince1970: 1_701_388_800))
        }
    }

    @Test func `a kind that there is not ends with 2 and names those that there are`() async throws {
        try await run { broker in
            let outcome = try await broker.daypass("audit", "search", "--kind", "refused")
            #expect(
                outcome.status == 2 && outcome.error.contains("exchange.granted, session.renewed"), "\(outcome.error)")
        }
    }

    @Test func `a trace id in capital letters is the same one`() async throws {
        try await run { broker in
            let trace = "0199E1C4A5B60C1F9A4BE2D7F3055A1C"
            let outcome = try await broker.daypass("audit", "search", "--trace", trace)
            #expect(outcome.status == 0, "\(outcome.error)")
            #expect(broker.fake.calls.conditions.last?.trace?.description == trace.lowercased())
        }
    }

    @Test func `a record of a credential says of which provider and version it is`() async throws {
        try await run { broker in
            broker.fake.record([
                AuditEvent(
                    time: Sample.time, trace: Self.trace(7), kind: .credentialPromoted, issuer: nil, subject: nil,
                    details: ["provider": "anthropic", "versions": [["version": 1], ["version": 2]]])
            ])
            let table = try await broker.daypass("audit", "search", "--kind", "credential.promoted")
            #expect(table.output.contains("credential.promoted  anthropic version 2  -  "), "\(table.output)")
            let tail = try await broker.daypass("audit", "tail", "-n", "1")
            #expect(tail.output.contains("credential.promoted  anthropic version 2  -  "), "\(tail.output)")
        }
    }

    @Test(.enabled(if: Programs.python != nil)) func `a narrow terminal has moments, kinds and trace ids as a whole`()
        async throws
    {
        let script = """
            import fcntl, os, pty, struct, sys, termios
            pid, terminal = pty.fork()
            if pid == 0:
                fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
                os.execv(sys.argv[1], sys.argv[1:])
            try:
                while read := os.read(terminal, 65536): os.write(1, read)
            except OSError:
                pass
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            """
        try await run { broker in
            let python = try #require(Programs.python)
            broker.fake.record([
                AuditEvent(
                    time: Sample.time, trace: Self.trace(9), kind: .exchangeGranted, issuer: Sample.issuer,
                    subject: "ci:a-subject-of-some-length", rule: "r", details: [:])
            ])
            let table = try await AdministeredBroker.daypass(
                ["audit", "search"], ["DAYPASS_SOCKET": broker.socket, "TERM": "dumb"], through: [python, "-c", script])
            #expect(table.status == 0 && table.output.contains("…"), "something else gave way: \(table.output)")
            for number in 0..<5 {
                let time = RecordedTime(Self.events[number].time).text
                let kind = Self.events[number].kind.rawValue
                #expect(table.output.contains("\(time)  \(kind)  "), "\(table.output)")
                #expect(table.output.contains("\(Self.trace(number))"), "\(table.output)")
            }
        }
    }

    @Test(arguments: ["audit search", "audit search --json", "audit tail", "rules who --scope a:b", "--help"])
    func `what could not be printed as a whole ends with 1`(_ command: String) async throws {
        try await run { broker in
            let script = "\(Programs.daypass) \(command) > /dev/full"
            let full = try await AdministeredBroker.daypass(
                [], ["DAYPASS_SOCKET": broker.socket], through: ["/bin/sh", "-c", script])
            #expect(full.status == 1 && full.error.contains("not all was written"), "\(full.error)")
        }
    }

    @Test func `tail shows the last records, and with --follow those that come, each once`() async throws {
        try await run { broker in
            let tail = try await broker.daypass("audit", "tail", "-n", "2")
            #expect(
                tail.output == """
                    2023-11-14T22:13:23.250Z  exchange.granted  ci:\\u{1B}[2K\\u{202E}b  r  -  \(Self.trace(3))
                    2023-11-14T22:13:24.250Z  exchange.refused  ci:a  r  no_rule  \(Self.trace(4))

                    """)
            let following = try RunningProcess(
                Programs.daypass, ["audit", "tail", "--follow", "-n", "1", "--json", "--socket", broker.socket])
            try await waitUntil("it shows the last one") { following.output.contains(#""sequence":5"#) }
            broker.fake.record([Self.events[0], Self.events[1]])
            try await waitUntil("it shows those that come") { following.output.contains(#""sequence":7"#) }
            following.signal(SIGINT)
            let outcome = try await following.outcome()
            let numbers = try outcome.output.split(separator: "\n").map {
                try JSONReader.readObject(Array($0.utf8))["sequence"]?.number
            }
            #expect(numbers == [5, 6, 7])
        }
    }

    @Test func `export writes every record as a line, to the byte as the broker has it`() async throws {
        try await run { broker in
            let export = try await broker.daypass("audit", "export")
            let lines = export.output.split(separator: "\n")
            #expect(export.status == 0 && lines.count == 5)
            for (number, line) in lines.enumerated() {
                let record = AuditRecord(sequence: Int64(number + 1), event: Self.events[number])
                #expect(Array(line.utf8) == AuditLine.encode(record))
            }
            let rest = try await broker.daypass("audit", "export", "--after", "3", "--subject", "ci:a")
            #expect(rest.output.split(separator: "\n").count == 1)
        }
    }

    @Test func `an export that could not be written as a whole ends with 1`() async throws {
        try await run { broker in
            let full = try await RunningProcess(
                "/bin/sh", ["-c", "\"$0\" audit export > /dev/full", Programs.daypass],
                environment: [
                    "DAYPASS_SOCKET": broker.socket,
                    "LD_LIBRARY_PATH": ProcessInfo.processInfo.environment["LD_LIBRARY_PATH"] ?? "",
                ]
            ).outcome()
            #expect(full.status == 1 && full.error.contains("not all was written"), "\(full.error)")
        }
    }

    @Test func `over a real broker it finds who got what, by subject, rule, session, token and trace`() async throws {
        let grants = try await AdministeredGrants()
        for number in 0..<3 { _ = try await grants.token("job\(number)") }
        let refused = try await grants.exchange("job1", ref: "refs/heads/dev")
        func count(_ arguments: String...) async throws -> Int? {
            let outcome = try await grants.daypass(["audit", "search", "--json"] + arguments)
            try #require(outcome.status == 0, "\(outcome.error)")
            return try JSONReader.readObject(Array(outcome.output.utf8), depth: 64)["records"]?.array?.count
        }
        #expect(try await count("--subject", "github:job1") == 2)
        #expect(try await count("--subject", "github:job1", "--kind", "exchange.refused") == 1)
        #expect(try await count("--rule", "ci-main", "--since", "1h") == 3)
        #expect(try await count("--until", "1h") == 0)
        #expect(try await count("--session", grants.lastSession()) == 1)
        let trace = try #require(refused.headers.first(name: "Daypass-Trace-Id"))
        #expect(try await count("--trace", trace) == 1)
        let export = try await grants.done("audit", "export")
        let records = try export.split(separator: "\n").map { try AuditLine.parse(Array($0.utf8)) }
        #expect(records.count { $0.event.issuer != nil } == 4)
        #expect(records.map(\.sequence) == records.map(\.sequence).sorted())
        #expect(records.last?.event.trace.description == trace)
        #expect(!export.contains("eyJ"))
    }

    /// The examples of two sections, as they are written, with the names of this broker's own records in the places.
    @Test func `the commands of Operations find what they say`() async throws {
        let grants = try await AdministeredGrants()
        let token = try await grants.token("repo:acme/app:ref:refs/heads/main")
        let refused = try await grants.exchange("repo:acme/app:ref:refs/heads/dev", ref: "refs/heads/dev")
        let trace = try #require(refused.headers.first(name: "Daypass-Trace-Id"))
        let payload = try Base64URL.decode(ExactString(TokenSegments(token).payload))
        let id = try #require(try JSONReader.readObject(payload)["jti"]?.string?.string)
        let session = try await grants.lastSession()
        let page = try String(
            contentsOf: Programs.repository.appending(path: "Sources/Broker/Broker.docc/Operations.md"), encoding: .utf8
        )
        // Some of them stand in lists.
        let lines = page.split(separator: "\n").map { String($0.drop { $0 == " " }) }
        let commands = ["audit", "explain", "rules list", "rules who"].flatMap { name in
            lines.filter { $0.hasPrefix("daypass \(name) ") || $0 == "daypass \(name)" }
        }
        #expect(commands.count >= 20)
        for command in commands where !command.contains("--follow") && !command.contains("--against") {
            let line = command.replacing("TRACE-ID", with: trace).replacing("JTI", with: id)
                .replacing("SESSION", with: session).replacing("daypass ", with: "\"$0\" ", maxReplacements: 1)
            let outcome = try await RunningProcess(
                "/bin/sh", ["-c", line, Programs.daypass], in: grants.broker.workspace.folder,
                environment: [
                    "DAYPASS_SOCKET": grants.broker.workspace.path("run/admin.sock"),
                    "LD_LIBRARY_PATH": ProcessInfo.processInfo.environment["LD_LIBRARY_PATH"] ?? "",
                ]
            ).outcome()
            #expect(outcome.status == 0, "\(command): \(outcome.error)")
        }
        let exported = try String(contentsOfFile: grants.broker.workspace.path("acme.jsonl"), encoding: .utf8)
        #expect(exported.split(separator: "\n").count == 1 && exported.contains("acme/app:ref:refs/heads/main"))
    }

    @Test func `an export has the hashes of the chain, and shows later whether the store still has those records`()
        async throws
    {
        let grants = try await AdministeredGrants()
        for number in 0..<3 { _ = try await grants.token("job\(number)") }
        let export = try await grants.done("audit", "export", "--subject", "github:job1")
        let records = try export.split(separator: "\n").map { try AuditLine.parse(Array($0.utf8)) }
        #expect(records.count == 1 && records.first?.hash?.count == 32)
        try grants.broker.workspace.write("job1.jsonl", export)
        let file = grants.broker.workspace.path("job1.jsonl")
        let same = try await grants.daypass(["audit", "verify", "--against", file])
        #expect(same.status == 0, "\(same.error)")
        let hash = Base64URL.encode(records.first?.hash ?? [])
        let other = String(hash.reversed()).replacing("=", with: "A")
        try grants.broker.workspace.write("job1.jsonl", export.replacing(hash, with: other.prefix(42) + "A"))
        #expect(try await grants.daypass(["audit", "verify", "--against", file]).status == 1)
    }
}
