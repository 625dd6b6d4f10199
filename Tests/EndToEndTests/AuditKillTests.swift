import Broker
import BrokerSQLite
import BrokerTesting
import Foundation
import JOSE
import Logging
import OpenSSL
import Synchronization
import Testing

/// The audit trail of a broker that is killed where it hurts, `DAYPASS_KILLS` times, or 5 where that does not say how often.
@Suite(.onOwnThreads, .timeLimit(.minutes(15))) struct `The audit trail and the end of a process` {
    private static let kills = ProcessInfo.processInfo.environment["DAYPASS_KILLS"].flatMap { Int($0) } ?? 5

    private func verify(_ workspace: Workspace, against file: String) async throws -> RunningProcess.Outcome {
        try await AdministeredBroker.daypass(
            ["audit", "verify", "--against", file], ["DAYPASS_SOCKET": workspace.path("run/admin.sock")])
    }

    private func start(_ workspace: Workspace, _ audit: String) async throws -> (RunningBroker, TestIssuer) {
        let issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        let rules = try RunningBroker.fileIssuer(issuer, in: workspace, replay: "off")
        let broker = try await RunningBroker(
            workspace, issuersAndRules: rules + "audit: {\(audit)}\n", admin: "{socket: run/admin.sock}")
        return (broker, issuer)
    }

    private func waitUntilAdministered(_ broker: RunningBroker) async throws {
        try await waitUntil("daypassd is administered") { broker.process.error.contains(#""listener":"admin""#) }
    }

    /// Exchanges with a few callers at once until nobody answers.
    private final class Load: Sendable {
        private let count = Mutex(0)

        /// How many tokens were handed out.
        var granted: Int { count.withLock { $0 } }

        func run(_ broker: RunningBroker, _ proof: String) async {
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask { [self] in
                        while (try? await broker.exchange(proof).status) == 200 { count.withLock { $0 += 1 } }
                    }
                }
            }
        }
    }

    /// What the copy has is compared as well: every record and checkpoint that was ever in the file is in the store.
    @Test
    func `a kill under load, in the last checkpoint of a stop or in the first of a start leaves a chain that verifies`()
        async throws
    {
        let workspace = try Workspace()
        try workspace.write("log/.keep", "")
        var (broker, issuer) = try await start(workspace, "file: log/audit.jsonl")
        let file = workspace.path("log/audit.jsonl")
        var granted = 0
        for kill in 0..<Self.kills {
            try await waitUntilAdministered(broker)
            let claims = issuer.claims(subject: "job", at: Date())
            let proof = try issuer.token(claims.merging(["repository_id": "123456", "ref": "refs/heads/main"]))
            let (load, running) = (Load(), broker)
            let loading = Task { await load.run(running, proof) }
            let wanted = Int.random(in: 1...30)
            try await waitUntil("some are granted", within: 60) { load.granted >= wanted }
            // A stop makes the last checkpoint.
            if kill % 3 == 1 { running.process.signal(SIGTERM) }
            for _ in 0..<Int.random(in: 0...(kill % 3 == 1 ? 20_000 : 500)) { await Task.yield() }
            running.process.signal(SIGKILL)
            _ = try await running.process.outcome()
            // The client would try for a while to connect.
            loading.cancel()
            await loading.value
            granted += load.granted
            if kill % 3 == 2 {
                let starting = try RunningProcess(
                    Programs.daypassd, ["serve", "--config", workspace.path("daypass.yaml")])
                try await waitUntil("it has begun") { starting.error.contains("starting") || !starting.isRunning }
                for _ in 0..<Int.random(in: 0...20_000) { await Task.yield() }
                starting.signal(SIGKILL)
                _ = try await starting.outcome()
            }
            broker = try await RunningBroker(restarting: broker)
            try await waitUntilAdministered(broker)
            let done = try await verify(workspace, against: file)
            let comment: Comment = "kill \(kill) after \(granted): \(done)"
            #expect(done.status == 0, comment)
            let records = try #require(
                done.output.firstMatch(of: /intact: (\d+) records?/).flatMap { Int($0.1) }, comment)
            // What was under way at a kill may be recorded and never answered.
            #expect(records > granted && records <= 1 + granted + 4 * (kill + 1), comment)
            #expect(done.output.contains("the same in the file: \(records) records"), comment)
            #expect(!broker.process.error.contains("the audit trail is not what was recorded"), comment)
            for kind in ["sequence", "checkpoint"] {
                let numbers = try Self.numbers(kind, in: file)
                #expect(
                    zip(numbers, numbers.dropFirst()).allSatisfy { $0 < $1 }, "each \(kind) once, in order: \(numbers)")
            }
        }
        broker.process.signal(SIGTERM)
        #expect(try await broker.process.outcome().status == 0)
        #expect(try !Self.numbers("checkpoint", in: file).isEmpty)
    }

    // MARK: Archiving

    private static let old = Date().addingTimeInterval(-10 * 86_400)
    private static let oldRecords = 3000

    /// The store of a broker that has ended, with the same keys, and records that are older than their retention alone.
    private func age(_ workspace: Workspace) async throws {
        var bytes = Array(try Data(contentsOf: URL(filePath: workspace.path("data/master.key"))))
        let masterKey = try MasterKey(file: SecretBytes(moving: &bytes))
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let path = workspace.path("data/daypass.db")
        let now = try SQLiteStore(path: path, logger: logger)
        let keys = try await now.signingKeys()
        await now.close()
        for name in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + name) }
        let store = try SQLiteStore(path: path, .creating, logger: logger, clock: ManualClock(now: Self.old))
        try await store.insertFirstSigningKeys(keys)
        store.sign(with: try await CheckpointKeys.open(in: store, with: masterKey, at: Self.old))
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<50 {
                group.addTask {
                    for _ in 0..<(Self.oldRecords / 50) { try? await store.record(Sample.refusal(time: Self.old)) }
                }
            }
        }
        await store.close()
    }

    /// `FastClock.c`, made to be preloaded.
    private func clock(in workspace: Workspace) async throws -> [String: String] {
        let library = workspace.path("clock.so")
        let source = Programs.repository.appending(path: "Tests/Programs/FastClock/FastClock.c")
        let made = try await RunningProcess(
            try #require(Programs.clang), ["-shared", "-fPIC", "-o", library, source.path(percentEncoded: false)]
        ).outcome()
        try #require(made.status == 0, "\(made.error)")
        return ["LD_PRELOAD": library, "DAYPASS_TEST_STEP": workspace.path("step")]
    }

    private func serve(_ workspace: Workspace, _ clock: [String: String]) async throws -> RunningProcess {
        let process = try RunningProcess(
            Programs.daypassd, ["serve", "--config", workspace.path("daypass.yaml")],
            environment: ProcessInfo.processInfo.environment.merging(clock) { $1 })
        try await waitUntil("daypassd is administered") {
            try #require(process.isRunning, "\(process.error)")
            return process.error.contains(#""listener":"admin""#)
        }
        return process
    }

    /// Whether every old record is out of the store.
    private func isArchived(_ workspace: Workspace) async throws -> Bool {
        let script =
            "import sqlite3,sys\nprint(sqlite3.connect(sys.argv[1]).execute("
            + "'SELECT count(*) FROM audit WHERE sequence <= ?', sys.argv[2:]).fetchone()[0])"
        let read = try await RunningProcess(
            try #require(Programs.python),
            ["-c", script, workspace.path("data/daypass.db"), String(1 + Self.oldRecords)]
        ).outcome()
        return read.output == "0\n"
    }

    private func archives(_ workspace: Workspace) -> [String] {
        let names = try? FileManager.default.contentsOfDirectory(atPath: workspace.path("archive"))
        return (names ?? []).filter { $0.hasSuffix(".jsonl") }.sorted()
    }

    private func sequences(in file: String) throws -> [Int] { try Self.numbers("sequence", in: file) }

    /// The numbers of the lines that begin with that member.
    private static func numbers(_ member: String, in file: String) throws -> [Int] {
        let beginning = "{\"\(member)\":"
        return try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").compactMap { line in
            line.hasPrefix(beginning) ? Int(line.dropFirst(beginning.count).prefix { $0.isNumber }) : nil
        }
    }

    /// Where a broker that archives is killed.
    private enum Moment: CaseIterable {
        /// While it writes the file.
        case writing
        /// The file is there, its record maybe not.
        case published
        /// Its rows are being deleted.
        case deleting
        /// Not at all.
        case never
    }

    @Test(.enabled(if: Programs.clang != nil, "clang is not on the path"))
    func `records that are old enough are in one archive, also where the broker was killed, and the rest verifies`()
        async throws
    {
        let workspace = try Workspace()
        let (made, _) = try await start(workspace, "retention: 1d, archive: archive")
        made.process.signal(SIGTERM)
        #expect(try await made.process.outcome().status == 0)
        try await age(workspace)
        let clock = try await clock(in: workspace)
        let (whole, kept) = (workspace.path("data/daypass.db"), workspace.path("kept.db"))
        try FileManager.default.copyItem(atPath: whole, toPath: kept)
        for round in 0..<max(Self.kills, Moment.allCases.count) {
            let moment = Moment.allCases[round % Moment.allCases.count]
            let step = workspace.path("step")
            for name in [whole, whole + "-wal", whole + "-shm", workspace.path("archive"), step] {
                try? FileManager.default.removeItem(atPath: name)
            }
            try FileManager.default.copyItem(atPath: kept, toPath: whole)
            let export = workspace.path("export-\(round).jsonl")
            var process = try await serve(workspace, clock)
            let exported = try await AdministeredBroker.daypass(
                ["audit", "export"], ["DAYPASS_SOCKET": workspace.path("run/admin.sock")])
            try #require(exported.status == 0, "\(exported.error)")
            try workspace.write("export-\(round).jsonl", exported.output)
            try workspace.write("step", "1")
            if moment != .never {
                try await reach(moment, workspace, process)
                process.signal(SIGKILL)
                _ = try await process.outcome()
                process = try await serve(workspace, clock)
                try workspace.write("step", "12")
            }
            try await waitUntil("they are archived", within: 60) { try await isArchived(workspace) }
            let done = try await verify(workspace, against: export)
            process.signal(SIGTERM)
            #expect(try await process.outcome().status == 0)
            let names = archives(workspace)
            let comment: Comment = "round \(round), \(moment): \(done) \(names) \(process.error)"
            #expect(done.status == 0, comment)
            #expect(done.output.contains("intact: ") && done.output.contains("the same in the file: "), comment)
            // Each is in one of them. A day later the record of the archiving is old as well.
            let numbers = try names.flatMap { try sequences(in: workspace.path("archive/\($0)")) }
            #expect(numbers == Array(1...max(numbers.count, 1 + Self.oldRecords)), comment)
            let left = try FileManager.default.contentsOfDirectory(atPath: workspace.path("archive")).sorted()
            #expect(left == names, comment)
        }
    }

    private func reach(_ moment: Moment, _ workspace: Workspace, _ process: RunningProcess) async throws {
        let end = ContinuousClock.now + .seconds(60)
        let manager = FileManager.default
        // Without a pause: the moment is short.
        while ContinuousClock.now < end, process.isRunning {
            switch moment {
            case .never: return
            case .writing where manager.fileExists(atPath: workspace.path("archive/audit.jsonl.partial")): return
            case .writing where !archives(workspace).isEmpty: return
            case .published where !archives(workspace).isEmpty: return
            case .deleting where !archives(workspace).isEmpty:
                for _ in 0..<Int.random(in: 0...20_000) { await Task.yield() }
                return
            default: await Task.yield()
            }
        }
        throw TimedOut(description: "\(moment): not within 60 s: \(process.error)")
    }
}
