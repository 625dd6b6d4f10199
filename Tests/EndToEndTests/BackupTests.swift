import BrokerTesting
import Foundation
import JOSE
import Synchronization
import Testing

@Suite(.onOwnThreads) struct `Backup and restore` {
    private static let access = ["subject_token_type": "urn:ietf:params:oauth:token-type:access_token"]

    private func broker(replay: String? = nil) async throws -> (RunningBroker, TestIssuer) {
        let workspace = try Workspace()
        let issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        let rules = try RunningBroker.fileIssuer(issuer, in: workspace, replay: replay)
        return (try await RunningBroker(workspace, issuersAndRules: rules), issuer)
    }

    fileprivate static func token(of issuer: TestIssuer, _ id: String) throws -> String {
        let matching: JSONObject = [
            "repository_id": "123456", "ref": "refs/heads/main", "jti": .string(ExactString(id)),
        ]
        return try issuer.token(issuer.claims(subject: "job", at: Date()).merging(matching))
    }

    private func daypassd(_ workspace: Workspace, _ arguments: String...) async throws -> RunningProcess.Outcome {
        let all = arguments + ["--config", workspace.path("daypass.yaml")]
        return try await RunningProcess(Programs.daypassd, all).outcome()
    }

    private func stop(_ broker: RunningBroker) async throws {
        broker.process.signal(SIGTERM)
        #expect(try await broker.process.outcome().status == 0)
    }

    private func sql(_ path: String, _ query: String) async throws -> [String] {
        let python = try #require(Programs.python)
        let script =
            "import sqlite3,sys\nfor r in sqlite3.connect(sys.argv[1]).execute(sys.argv[2]): print(r[0])"
        let read = try await RunningProcess(python, ["-c", script, path, query]).outcome()
        #expect(read.status == 0, "\(read.error)")
        return read.output.split(separator: "\n").map(String.init)
    }

    /// Exchanges, one after another, until they are told to stop.
    private final class Load: Sendable {
        private struct State {
            var sessions: [String] = []
            var failures: [String] = []
            var isOver = false
        }

        private let state = Mutex(State())

        var sessions: [String] { state.withLock { $0.sessions } }
        var failures: [String] { state.withLock { $0.failures } }

        func stop() { state.withLock { $0.isOver = true } }

        func run(_ broker: RunningBroker, _ issuer: TestIssuer, _ worker: Int) async throws {
            var count = 0
            while !state.withLock({ $0.isOver }) {
                let answer = try await broker.exchange(`Backup and restore`.token(of: issuer, "\(worker)-\(count)"))
                count += 1
                state.withLock { state in
                    if answer.status == 200 {
                        state.sessions.append(answer.text("session_id") ?? "")
                    } else {
                        state.failures.append(answer.body)
                    }
                }
            }
        }
    }

    @Test func `a backup under load holds every exchange that was answered before it, and no exchange fails`()
        async throws
    {
        let (broker, issuer) = try await broker()
        let path = broker.workspace.path("backup.db")
        let load = Load()
        let (made, before) = try await withThrowingTaskGroup(of: Void.self) { group in
            defer { load.stop() }
            for worker in 0..<8 { group.addTask { try await load.run(broker, issuer, worker) } }
            try await waitUntil("exchanges run", within: 60) { load.sessions.count >= 50 }
            let before = load.sessions
            return (try await daypassd(broker.workspace, "backup", path), before)
        }
        #expect(made.status == 0, "\(made.error)")
        #expect(made.output.hasPrefix("wrote \(path) (0600): "), "\(made.output)")
        #expect(made.output.contains(" bytes, generation 1, last audit record 20"))
        #expect(made.output.contains("the master key is not in it"))
        #expect(load.failures == [])
        #expect(Set(try await sql(path, "SELECT id FROM sessions")).isSuperset(of: before))
        #expect(try await sql(path, "PRAGMA integrity_check") == ["ok"])
        let again = try await daypassd(broker.workspace, "backup", path)
        #expect(again.status == 1 && again.error.contains("never takes the place of a file"), "\(again.error)")
    }

    /// Whether the program was caught while it was copying: it stands still now. One that was faster has ended.
    private func halts(_ backup: RunningProcess, in path: String) async throws -> Bool {
        try await waitUntil("the copy is begun") {
            let size = try? FileManager.default.attributesOfItem(atPath: path + ".partial")[.size] as? Int
            return size ?? 0 > 0 || !backup.isRunning
        }
        backup.signal(SIGSTOP)
        try await waitUntil("it stands still, or has ended") {
            let state = try? String(contentsOfFile: "/proc/\(backup.id)/stat", encoding: .utf8)
            return !backup.isRunning || state?.split(separator: ")").last?.hasPrefix(" T") == true
        }
        let manager = FileManager.default
        if backup.isRunning, manager.fileExists(atPath: path + ".partial"), !manager.fileExists(atPath: path) {
            return true
        }
        backup.signal(SIGCONT)
        let outcome = try await backup.outcome()
        #expect(outcome.status == 0, "\(outcome.error)")
        try manager.removeItem(atPath: path)
        return false
    }

    @Test func `a backup that is killed leaves no file of its name`() async throws {
        let (broker, issuer) = try await broker()
        _ = try await broker.exchange(Self.token(of: issuer, "1"))
        let python = try #require(Programs.python)
        // Rows enough for the copying to take a while.
        let filling = """
            import sqlite3,sys
            c=sqlite3.connect(sys.argv[1],timeout=30)
            c.execute('''WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<300000)
              INSERT INTO audit(time,trace,kind,details) SELECT 1700000000000,printf('%032x',i),'exchange.refused','{}' FROM n''')
            c.commit()
            """
        let filled = try await RunningProcess(
            python, ["-c", filling, broker.workspace.path("data/daypass.db")]
        ).outcome()
        #expect(filled.status == 0, "\(filled.error)")
        let path = broker.workspace.path("backup.db")
        var killed = 0
        for _ in 0..<100 where killed < 3 {
            let backup = try RunningProcess(
                Programs.daypassd, ["backup", path, "--config", broker.workspace.path("daypass.yaml")])
            guard try await halts(backup, in: path) else { continue }
            backup.signal(SIGKILL)
            #expect(try await backup.outcome().status == 128 + SIGKILL)
            #expect(!FileManager.default.fileExists(atPath: path))
            #expect(FileManager.default.fileExists(atPath: path + ".partial"))
            killed += 1
        }
        #expect(killed == 3)
        #expect(try await broker.exchange(Self.token(of: issuer, "2")).status == 200)
        let made = try await daypassd(broker.workspace, "backup", path)
        #expect(made.status == 0, "\(made.error)")
        #expect(!FileManager.default.fileExists(atPath: path + ".partial"))
    }

    @Test func `after restoring, every earlier token is dead and new ones are granted`() async throws {
        let (broker, issuer) = try await broker(replay: "once")
        let (workspace, backup) = (broker.workspace, broker.workspace.path("backup.db"))
        let (first, second) = (try Self.token(of: issuer, "1"), try Self.token(of: issuer, "2"))
        let before = try #require(try await broker.exchange(first).text("access_token"))
        #expect(try await daypassd(workspace, "backup", backup).status == 0)
        let after = try #require(try await broker.exchange(second).text("access_token"))
        let unused = try Self.token(of: issuer, "3")
        let running = try await daypassd(workspace, "restore", "--replace", backup)
        #expect(running.status == 1 && running.error.contains("another daypassd has"), "\(running.error)")
        try await stop(broker)
        let exists = try await daypassd(workspace, "restore", backup)
        #expect(exists.status == 1 && exists.error.contains("--replace"), "\(exists.error)")

        let restored = try await daypassd(workspace, "restore", "--replace", backup)
        #expect(restored.status == 0, "\(restored.error)")
        #expect(restored.output.contains("generation 2, from generation 1 as of 20"), "\(restored.output)")
        #expect(restored.output.contains("kept the store that was there as "))
        #expect(restored.output.contains("block again whoever was blocked since then"))

        let next = try await RunningBroker(restarting: broker)
        for dead in [before, after] {
            #expect(try await next.verify(dead).status == 401)
            #expect(try await next.exchange(dead, Self.access).status == 400)
        }
        // Nobody knows which of them were presented after the backup.
        for old in [first, second, unused] { #expect(try await next.exchange(old).status == 400) }
        let store = workspace.path("data/daypass.db")
        let reasons = try await sql(store, "SELECT reason FROM audit WHERE reason IS NOT NULL ORDER BY sequence")
        #expect(reasons.suffix(3) == ["issued_before_restore", "issued_before_restore", "issued_before_restore"])
        let future: JSONObject = ["repository_id": "123456", "ref": "refs/heads/main", "jti": "4"]
        try await waitUntil("a token is newer than the restoring, by any clock", within: 60) {
            let fresh = try issuer.token(
                issuer.claims(subject: "job", at: Date().addingTimeInterval(25)).merging(future))
            let answer = try await next.exchange(fresh)
            guard answer.status == 200 else { return false }
            return try await next.verify(answer.text("access_token") ?? "").status == 200
        }
        let events = try await sql(store, "SELECT details FROM audit WHERE kind = 'store.restored'")
        #expect(events.count == 1 && events[0].contains(#""from_generation":1,"to_generation":2"#), "\(events)")
        try await stop(next)

        let third = try await daypassd(workspace, "restore", "--replace", backup)
        #expect(third.output.contains("generation 3, from generation 1"), "\(third.output)\(third.error)")
    }

    @Test func `restoring with another master key, or without one, says so and changes nothing`() async throws {
        let (broker, issuer) = try await broker()
        let (workspace, backup) = (broker.workspace, broker.workspace.path("backup.db"))
        let granted = try #require(try await broker.exchange(Self.token(of: issuer, "1")).text("access_token"))
        #expect(try await daypassd(workspace, "backup", backup).status == 0)
        try await stop(broker)
        let (key, store) = (workspace.path("data/master.key"), workspace.path("data/daypass.db"))
        let right = try Data(contentsOf: URL(filePath: key))
        let before = try Data(contentsOf: URL(filePath: store))
        try FileManager.default.removeItem(atPath: key)
        let missing = try await daypassd(workspace, "restore", "--replace", backup)
        #expect(missing.status == 1 && missing.error.contains("master.key: No such file"), "\(missing.error)")

        let elsewhere = try Workspace()
        try elsewhere.write("daypass.yaml", try Data(contentsOf: URL(filePath: workspace.path("daypass.yaml"))))
        try elsewhere.write("issuer.json", issuer.jwks)
        #expect(try await daypassd(elsewhere, "init").status == 0)
        try FileManager.default.copyItem(atPath: elsewhere.path("data/master.key"), toPath: key)
        let wrong = try await daypassd(workspace, "restore", "--replace", backup)
        #expect(wrong.status == 1 && wrong.error.contains("was sealed with master key"), "\(wrong.error)")

        let files = try FileManager.default.contentsOfDirectory(atPath: workspace.path("data"))
        #expect(Set(files) == ["daypass.db", "daypass.db.lock", "daypass.db.reserve", "master.key"])
        #expect(try Data(contentsOf: URL(filePath: store)) == before)
        try FileManager.default.removeItem(atPath: key)
        try right.write(to: URL(filePath: key))
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: key)
        let next = try await RunningBroker(restarting: broker)
        #expect(try await next.verify(granted).status == 200)
    }
}
