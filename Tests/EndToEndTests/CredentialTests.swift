import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(10))) struct `Provider credentials with the real programs` {
    /// A secret that is found nowhere by chance.
    private static func secret() -> String {
        "sk-ant-api03-" + (0..<24).map { _ in String(UInt8.random(in: 16...255), radix: 16) }.joined()
    }

    private static func add(_ secret: String, _ stage: AdministeredGrants) async throws -> RunningProcess.Outcome {
        let workspace = stage.broker.workspace
        try workspace.write("pipe", secret)
        let outcome = try await AdministeredBroker.daypass(
            ["credentials", "add", "anthropic"],
            ["DAYPASS_SOCKET": workspace.path("run/admin.sock"), "INPUT": workspace.path("pipe")],
            through: ["/bin/sh", "-c", #""$0" "$@" < "$INPUT""#])
        // What the test itself has written is not to be found.
        try FileManager.default.removeItem(atPath: workspace.path("pipe"))
        try #require(outcome.status == 0, "\(outcome.error)")
        return outcome
    }

    /// How a secret could stand somewhere.
    private static func spellings(_ secret: String) -> [Data] {
        let bytes = Data(secret.utf8)
        // Base64 of a part that begins anywhere: without what depends on where it begins and ends.
        let shifted = (0..<3).map { bytes.dropFirst($0).base64EncodedString().dropLast(4) }
        return [bytes] + shifted.map { Data($0.utf8) } + [Data(bytes.map { String(format: "%02x", $0) }.joined().utf8)]
    }

    private static func files(below folder: String) -> [String] {
        (FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []).map { "\(folder)/\($0)" }
    }

    @Test func `a provider's key is rotated: added, promoted, the former drained and retired, each on record`()
        async throws
    {
        let stage = try await AdministeredGrants()
        let (first, second) = (Self.secret(), Self.secret())
        #expect(try await Self.add(first + "\n", stage).output.contains("staged"))
        try await stage.done("credentials", "promote", "anthropic")
        let again = try await AdministeredBroker.daypass(
            ["credentials", "add", "anthropic"],
            ["DAYPASS_SOCKET": stage.broker.workspace.path("run/admin.sock"), "SECRET": first],
            through: ["/bin/sh", "-c", #"printf %s "$SECRET" | "$0" "$@""#])
        #expect(
            again.status == 1 && again.error.contains("this secret is there already: version 1"), "\(again.error)")
        let only = try await stage.daypass(["credentials", "retire", "anthropic", "1", "--yes"])
        #expect(only.status == 1 && only.error.contains("promote another one first"), "\(only.error)")

        _ = try await Self.add(second, stage)
        try await stage.done("credentials", "promote", "anthropic", "2")
        let listed = try await stage.json("credentials", "list", "anthropic")["credentials"]?.array ?? []
        #expect(listed.map { $0.object?["state"] } == ["draining", "active"])
        try await stage.done("credentials", "retire", "anthropic", "1", "--yes")
        #expect(try await stage.done("credentials", "list").contains("retired"))

        for (kind, count) in [("credential.added", 2), ("credential.promoted", 2), ("credential.retired", 1)] {
            let records = try await stage.audited(kind)
            #expect(records.count == count, "\(kind)")
            for record in records {
                #expect(record["provider"] == "anthropic")
                #expect(record["caller"]?.object?["uid"]?.number == Double(getuid()), "\(record)")
            }
        }
        stage.broker.process.signal(SIGTERM)
        #expect(try await stage.broker.process.outcome().status == 0)
        let opened = try await StoredCredentials.open(stage.broker.workspace) { try await $0.opened() }
        #expect(opened == Array(second.utf8))
    }

    @Test(.enabled(if: Programs.python != nil))
    func `the commands of Operations rotate a provider's key, in their order`() async throws {
        let stage = try await AdministeredGrants()
        let (workspace, old, new) = (stage.broker.workspace, Self.secret(), Self.secret())
        try workspace.write("anthropic.key", old + "\n")
        try workspace.write("new.key", new + "\n")
        let page = try String(
            contentsOf: Programs.repository.appending(path: "Sources/Broker/Broker.docc/Operations.md"), encoding: .utf8
        )
        let section = page.components(separatedBy: "\n## Provider credentials\n").last?
            .components(separatedBy: "\n## ").first
        let commands = try #require(section).matches(of: /daypass (credentials [a-z]+ anthropic[^`\n]*)/)
            .map { String($0.output.1) }
        #expect(
            commands == [
                "credentials add anthropic < anthropic.key", "credentials promote anthropic 1",
                "credentials add anthropic < new.key", "credentials promote anthropic",
                "credentials promote anthropic 1",
                "credentials list anthropic", "credentials retire anthropic 1",
            ])
        let socket = workspace.path("run/admin.sock")
        for (index, command) in commands.enumerated() {
            // The one that asks.
            let isAsked = command.contains("retire")
            let outcome = try await AdministeredBroker.daypass(
                isAsked ? command.split(separator: " ").map(String.init) : [],
                ["DAYPASS_SOCKET": socket, "ANSWER": "yes", "TERM": "dumb"], in: workspace.folder,
                through: isAsked
                    ? [try #require(Programs.python), "-c", OnTerminal.script]
                    : ["/bin/sh", "-c", "\"$0\" \(command)"])
            #expect(outcome.status == 0, "\(command): \(outcome.output)\(outcome.error)")
            // What goes back is no part of it.
            if index == 4 { try await stage.done("credentials", "promote", "anthropic", "2") }
        }
        let list = try await stage.done("credentials", "list", "anthropic")
        let states = list.split(separator: "\n").dropFirst().map { $0.split(separator: " ")[2] }
        #expect(states == ["retired", "active"], "\(list)")
        stage.broker.process.signal(SIGTERM)
        #expect(try await stage.broker.process.outcome().status == 0)
        let opened = try await StoredCredentials.open(workspace) { try await $0.opened() }
        #expect(opened == Array(new.utf8))
    }

    @Test func `a secret is in no log, no file, no backup, no argument and no environment`() async throws {
        let stage = try await AdministeredGrants()
        let (workspace, secret) = (stage.broker.workspace, Self.secret())
        // While the command has it and waits for more, everything about both processes can be seen.
        let path = workspace.path("fifo")
        try #require(mkfifo(path, 0o600) == 0)
        let pipe = open(path, O_RDWR | O_CLOEXEC)
        let bytes = Array(secret.utf8)
        try #require(pipe >= 0 && write(pipe, bytes, bytes.count) == bytes.count)
        let adding = try RunningProcess(
            Programs.daypass,
            ["credentials", "add", "anthropic", "--file", path, "--socket", workspace.path("run/admin.sock")])
        try await waitUntil("the command has read it") {
            try #require(adding.isRunning, "\(adding.error)")
            var left: Int32 = 0
            return ioctl(pipe, 0x541B, &left) == 0 && left == 0
        }
        var shown = Data()
        for process in [adding, stage.broker.process] {
            for name in ["cmdline", "environ"] {
                shown += try Data(contentsOf: URL(filePath: "/proc/\(process.id)/\(name)"))
            }
        }
        close(pipe)
        let added = try await adding.outcome()
        #expect(added.status == 0, "\(added.error)")
        shown += Data((added.output + added.error).utf8)
        _ = try await Self.add(Self.secret(), stage)
        for number in 1...2 {
            let promoted = try await stage.daypass(["credentials", "promote", "anthropic", "\(number)"])
            shown += Data((promoted.output + promoted.error).utf8)
        }
        let listed = try await stage.daypass(["credentials", "list", "--json"])
        shown += Data((listed.output + listed.error + stage.broker.process.error + stage.broker.process.output).utf8)
        let backup = try await RunningProcess(
            Programs.daypassd, ["backup", workspace.path("backup.db"), "--config", workspace.path("daypass.yaml")]
        ).outcome()
        #expect(backup.status == 0, "\(backup.error)")
        let retired = try await stage.daypass(["credentials", "retire", "anthropic", "1", "--yes"])
        let exported = try await stage.daypass(["audit", "export"])
        let records = try exported.output.split(separator: "\n").map { try AuditLine.parse(Array($0.utf8)) }
        let trace = try #require(records.first { $0.event.kind == .credentialAdded }).event.trace.description
        let explained = try await stage.daypass(["explain", trace])
        for outcome in [retired, exported, explained, try await stage.daypass(["explain", trace, "--json"])] {
            #expect(outcome.status == 0, "\(outcome.error)")
            shown += Data((outcome.output + outcome.error).utf8)
        }
        #expect(records.contains { $0.event.kind == .credentialRetired })
        #expect(explained.output.contains("credential.added"))
        let files = Self.files(below: workspace.path("").trimmingSuffix("/"))
        #expect(files.contains { $0.hasSuffix("/backup.db") } && files.contains { $0.hasSuffix("/daypass.db-wal") })
        // Reading the pipe would not end.
        for file in files where !file.hasSuffix("/fifo") {
            shown += (try? Data(contentsOf: URL(filePath: file))) ?? Data()
        }
        for spelling in Self.spellings(secret) { #expect(shown.range(of: spelling) == nil) }
        // The search itself works: what is sealed is there, and other things are.
        #expect(shown.range(of: Data("provider_credentials".utf8)) != nil)

        // And the backup opens with the master key alone.
        let opened = try await StoredCredentials.open(
            workspace.path("backup.db"), key: workspace.path("data/master.key")
        ) {
            _ = try await $0.credentials.promote(1, of: $0.provider, by: .daemon, under: TraceID())
            return try await $0.opened()
        }
        #expect(opened == Array(secret.utf8))
    }

    @Test(.enabled(if: geteuid() == 0 && Programs.python != nil))
    func `nothing of a secret stays in the broker's memory when the command returns`() async throws {
        let stage = try await AdministeredGrants()
        let secret = Self.secret()
        _ = try await Self.add(secret, stage)
        #expect(try await ProcessMemory.count(secret, in: stage.broker) == 0)
        try await stage.done("credentials", "promote", "anthropic", "1")
        #expect(try await ProcessMemory.count(secret, in: stage.broker) == 0)
    }

    @Test func `every byte of a hard secret comes back out, and none of an empty or a longer one is kept`() async throws
    {
        let stage = try await AdministeredGrants()
        let workspace = stage.broker.workspace
        let hard: [(String, [UInt8])] = [
            ("lines", Array("a\nb\r\n\n\nc".utf8)), ("nuls", [0, 1, 0, 0]), ("line-end", [10]),
            ("all", (0...255).map { $0 }), ("long", (0..<65_536).map { UInt8(truncatingIfNeeded: $0 &* 167) }),
        ]
        func add(_ provider: String, _ secret: [UInt8]) async throws -> RunningProcess.Outcome {
            try workspace.write("input", secret)
            return try await AdministeredBroker.daypass(
                ["credentials", "add", provider, "--exact"],
                ["DAYPASS_SOCKET": workspace.path("run/admin.sock"), "INPUT": workspace.path("input")],
                through: ["/bin/sh", "-c", #"cat "$INPUT" | "$0" "$@""#])
        }
        for (provider, secret) in hard {
            let added = try await add(provider, secret)
            #expect(added.status == 0, "\(provider): \(added.error)")
            let again = try await add(provider, secret)
            #expect(again.status == 1 && again.error.contains("this secret is there already: version 1"))
            try await stage.done("credentials", "promote", provider)
        }
        for (secret, words) in [([], "empty"), ([UInt8](repeating: 7, count: 65_537), "more than 65536 bytes")] {
            let refused = try await add("refused", secret)
            #expect(refused.status == 2 && refused.error.contains(words), "\(refused.error)")
        }
        #expect(try await !stage.done("credentials", "list").contains("refused"))
        stage.broker.process.signal(SIGTERM)
        _ = try await stage.broker.process.outcome()
        for (provider, secret) in hard {
            let name = try #require(ProviderName(parsing: provider))
            let opened = try await StoredCredentials.open(workspace) { try await $0.opened(name) }
            #expect(opened == secret, "\(provider)")
        }
    }

    @Test func `no example puts a secret on a command line, where the shell's history would have it`() async throws {
        let help = try await AdministeredBroker.daypass(["credentials", "add", "--help"], [:]).output
        var texts = [help]
        for file in Self.files(below: Programs.repository.appending(path: "Sources").path(percentEncoded: false))
        where file.hasSuffix(".md") {
            texts.append(try String(contentsOfFile: file, encoding: .utf8))
        }
        texts.append(
            try String(contentsOf: Programs.repository.appending(path: "README.md"), encoding: .utf8))
        let examples = texts.flatMap { $0.split(separator: "\n") }
            .filter { $0.contains(#/daypass credentials add [A-Za-z]/#) }
        #expect(examples.count >= 4, "\(examples)")
        for example in examples {
            #expect(example.contains(#/add (anthropic|PROVIDER) < /#), "\(example)")
            for printing in ["echo", "printf", "<<", "sk-"] { #expect(!example.contains(printing), "\(example)") }
        }
    }

    @Test func `a token with daypass:credentials adds one over TLS, and a token without it ends with 77`() async throws
    {
        let workspace = try Workspace()
        let script = Programs.repository.appending(path: "certs/make-development").path(percentEncoded: false)
        let made = try await RunningProcess(script, ["certificates"], in: workspace.folder).outcome()
        try #require(made.status == 0, "\(made.error)")
        let issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        let rules = ["credentials", "keys"].map {
            """
              - name: \($0)
                issuer: github
                match: {repository_id: "123456"}
                grant: {scope: [daypass:\($0)], ttl: 10m}

            """
        }.joined()
        let port = try Workspace.freePort()
        let tls = "{certificate: certificates/server.pem, key: certificates/server.key}"
        let broker = try await RunningBroker(
            workspace,
            issuersAndRules: RunningBroker.fileIssuer(issuer, in: workspace, replay: "off") + rules,
            admin: "{socket: run/admin.sock, listen: \"127.0.0.1:\(port)\", tls: \(tls)}")
        try await waitUntil("the network listener is there") { Workspace.isListening(port) }
        let secret = Self.secret()
        try workspace.write("key", secret)
        for (scope, status) in [("keys", 77), ("credentials", 0)] as [(String, Int32)] {
            let matching: JSONObject = ["repository_id": "123456", "ref": "refs/heads/main"]
            let proof = try issuer.token(issuer.claims(subject: "job", at: Date()).merging(matching))
            let exchanged = try await broker.exchange(proof, ["scope": "daypass:\(scope)"])
            let token = try #require(exchanged.text("access_token"), "\(exchanged.body)")
            let outcome = try await AdministeredBroker.daypass(
                ["credentials", "add", "anthropic", "--file", workspace.path("key")],
                [
                    "DAYPASS_ADMIN_URL": "https://localhost:\(port)", "DAYPASS_TOKEN": token,
                    "DAYPASS_CA_FILE": workspace.path("certificates/bundle.pem"),
                ])
            #expect(outcome.status == status, "\(scope): \(outcome.error)")
            if geteuid() == 0 {
                // The connection, which has it, ends after the answer.
                try await waitUntil("it is in memory no more", within: 60) {
                    try await ProcessMemory.count(secret, in: broker) == 0
                }
            }
        }
        broker.process.signal(SIGTERM)
        _ = try await broker.process.outcome()
        let versions = try await StoredCredentials.open(workspace) {
            try await $0.credentials.list(of: nil, after: nil, limit: 9)
        }
        #expect(versions.map(\.caller.text.string).allSatisfy { $0.hasSuffix("rule credentials, subject github:job") })
        #expect(versions.map(\.number) == [1])
    }

    @Test func `a backup brings credentials back, and a damaged one is refused before anything changes`() async throws {
        let stage = try await AdministeredGrants()
        let (workspace, secret) = (stage.broker.workspace, Self.secret())
        _ = try await Self.add(secret, stage)
        try await stage.done("credentials", "promote", "anthropic", "1")
        func daypassd(_ arguments: String...) async throws -> RunningProcess.Outcome {
            try await RunningProcess(
                Programs.daypassd, arguments + ["--config", workspace.path("daypass.yaml")]
            ).outcome()
        }
        for name in ["good.db", "bad.db"] {
            #expect(try await daypassd("backup", workspace.path(name)).status == 0)
        }
        _ = try await Self.add(Self.secret(), stage)
        try await stage.done("credentials", "promote", "anthropic", "2")
        try await stage.done("credentials", "retire", "anthropic", "1", "--yes")
        stage.broker.process.signal(SIGTERM)
        _ = try await stage.broker.process.outcome()

        let damage =
            "import sqlite3,sys;c=sqlite3.connect(sys.argv[1]);"
            + "c.execute(\"update provider_credentials set sealed = cast(substr(sealed, 1, 20) || x'000000' as blob)\");"
            + "c.commit()"
        let damaged = try await RunningProcess(
            try #require(Programs.python), ["-c", damage, workspace.path("bad.db")]
        ).outcome()
        #expect(damaged.status == 0, "\(damaged.error)")
        let bad = try await daypassd("restore", "--replace", workspace.path("bad.db"))
        #expect(
            bad.status == 1 && bad.error.contains("version 1 of the credential of anthropic does not open"),
            "\(bad.error)")
        #expect(try await StoredCredentials.open(workspace) { try await $0.states() } == [1: .retired, 2: .active])

        let good = try await daypassd("restore", "--replace", workspace.path("good.db"))
        #expect(good.status == 0, "\(good.error)")
        #expect(good.output.contains("the master key opened all 4 sealed rows"), "\(good.output)")
        #expect(good.output.contains("trust bundles, provider credentials"))
        let again = try await RunningBroker(restarting: stage.broker)
        try await waitUntil("daypassd is administered") { again.process.error.contains(#""listener":"admin""#) }
        let list = try await stage.done("credentials", "list").split(separator: "\n")
        #expect(list.count == 3 && list[1].hasPrefix("anthropic  1        active "), "\(list)")
        // Its number was given out by the store that was replaced, and is not given out again.
        #expect(list.last?.hasPrefix("anthropic  2        retired ") == true, "\(list)")
        let versions = try await stage.json("credentials", "list")["credentials"]?.array
        #expect(versions?.last?.object?["caller"] == ["by": "daemon"])
        let restored = try await stage.audited("store.restored").first
        #expect(restored?["retired_credentials"] == ["anthropic/2"], "\(String(describing: restored))")
        #expect(try await Self.add(Self.secret(), stage).output.contains("anthropic  3        staged"))
        again.process.signal(SIGTERM)
        _ = try await again.process.outcome()
        let opened = try await StoredCredentials.open(workspace) { try await $0.opened() }
        #expect(opened == Array(secret.utf8))
    }

    @Test func `a credential that is damaged is logged, and keeps nobody from a token`() async throws {
        let stage = try await AdministeredGrants()
        _ = try await Self.add(Self.secret(), stage)
        stage.broker.process.signal(SIGTERM)
        _ = try await stage.broker.process.outcome()
        let damage =
            "import sqlite3,sys;c=sqlite3.connect(sys.argv[1]);"
            + "c.execute(\"update provider_credentials set sealed = x'00'\");c.commit()"
        let path = stage.broker.workspace.path("data/daypass.db")
        _ = try await RunningProcess(try #require(Programs.python), ["-c", damage, path]).outcome()
        let again = try await RunningBroker(restarting: stage.broker)
        #expect(
            again.process.error.contains("a provider's credential does not open: its row was altered or damaged"),
            "\(again.process.error)")
        try await waitUntil("daypassd is administered") { again.process.error.contains(#""listener":"admin""#) }
        _ = try await stage.token()
        let refused = try await stage.daypass(["credentials", "promote", "anthropic", "1"])
        #expect(refused.status == 1 && refused.error.contains("does not open"), "\(refused.error)")
        try await stage.done("credentials", "retire", "anthropic", "1", "--yes")
    }
}

extension String {
    fileprivate func trimmingSuffix(_ suffix: String) -> String {
        hasSuffix(suffix) ? String(dropLast(suffix.count)) : self
    }
}
