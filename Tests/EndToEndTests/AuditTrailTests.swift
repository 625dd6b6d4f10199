import Broker
import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

/// The chain, its checkpoints and its file, as a real broker keeps them.
@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `The audit trail from outside` {
    /// A broker with a file of its audit trail, and its issuer.
    private func start(_ workspace: Workspace, through wrapper: [String] = []) async throws -> (
        RunningBroker, TestIssuer
    ) {
        let issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        let rules = try RunningBroker.fileIssuer(issuer, in: workspace, replay: "off")
        let broker = try await RunningBroker(
            workspace, issuersAndRules: rules + "audit: {file: log/audit.jsonl}\n", admin: "{socket: run/admin.sock}",
            through: wrapper)
        try await waitUntil("daypassd is administered") { broker.process.error.contains(#""listener":"admin""#) }
        return (broker, issuer)
    }

    private func exchange(_ broker: RunningBroker, _ issuer: TestIssuer) async throws -> Int {
        let claims = issuer.claims(subject: "job", at: Date())
        let proof = try issuer.token(claims.merging(["repository_id": "123456", "ref": "refs/heads/main"]))
        return try await broker.exchange(proof).status
    }

    private func verify(_ workspace: Workspace, _ arguments: String...) async throws -> RunningProcess.Outcome {
        try await AdministeredBroker.daypass(
            ["audit", "verify"] + arguments, ["DAYPASS_SOCKET": workspace.path("run/admin.sock")])
    }

    private func sql(_ workspace: Workspace, _ script: String) async throws {
        let code = "import sqlite3,sys;c=sqlite3.connect(sys.argv[1]);c.executescript(sys.argv[2]);c.commit()"
        let done = try await RunningProcess(
            try #require(Programs.python), ["-c", code, workspace.path("data/daypass.db"), script]
        ).outcome()
        try #require(done.status == 0, "\(done.error)")
    }

    private func stop(_ broker: RunningBroker) async throws {
        broker.process.signal(SIGTERM)
        #expect(try await broker.process.outcome().status == 0)
    }

    private func restarted(_ broker: RunningBroker) async throws -> RunningBroker {
        let again = try await RunningBroker(restarting: broker)
        try await waitUntil("daypassd is administered") { again.process.error.contains(#""listener":"admin""#) }
        return again
    }

    @Test func `is intact, goes on after a stop and a kill, and the file agrees with it`() async throws {
        let workspace = try Workspace()
        try workspace.write("log/.keep", "")
        var (broker, issuer) = try await start(workspace)
        for _ in 0..<20 { #expect(try await exchange(broker, issuer) == 200) }
        let file = workspace.path("log/audit.jsonl")
        let first = try await verify(workspace, "--against", file)
        #expect(first.status == 0 && first.output.contains("the same in the file: 21 records"), "\(first)")
        try await stop(broker)
        broker = try await restarted(broker)
        for _ in 0..<20 { #expect(try await exchange(broker, issuer) == 200) }
        broker.process.signal(SIGKILL)
        _ = try await broker.process.outcome()
        broker = try await restarted(broker)
        #expect(try await exchange(broker, issuer) == 200)
        let last = try await verify(workspace, "--against", file)
        #expect(last.status == 0 && last.output.contains("the same in the file: 42 records"), "\(last)")
        // A checkpoint at each stop, and one that covers what the kill left at the start.
        #expect(last.output.contains("intact: 42 records, "))
        try await stop(broker)
        #expect(!broker.process.error.contains("the audit trail is not what was recorded"))
    }

    @Test func `what somebody alters is named, while the broker runs and after it has started again`() async throws {
        let workspace = try Workspace()
        try workspace.write("log/.keep", "")
        let (broker, issuer) = try await start(workspace)
        for _ in 0..<10 { #expect(try await exchange(broker, issuer) == 200) }
        try await sql(workspace, "UPDATE audit SET subject = 'github:other' WHERE sequence = 5")
        let altered = try await verify(workspace)
        #expect(altered.status == 1, "\(altered)")
        #expect(altered.error.contains("daypass: record 5 is not what was recorded"), "\(altered.error)")
        #expect(try await exchange(broker, issuer) == 200, "whoever can write the store does not stop the broker so")
        try await stop(broker)
        let again = try await restarted(broker)
        let still = try await verify(workspace)
        #expect(still.status == 1 && still.error.contains("record 5 is not what was recorded"))
        try await stop(again)
    }

    @Test func `where somebody put in a record with the last number nothing is granted, and every revocation holds`()
        async throws
    {
        let workspace = try Workspace()
        try workspace.write("log/.keep", "")
        var (broker, issuer) = try await start(workspace)
        var tokens: [String] = []
        for subject in ["one", "two"] {
            let claims = issuer.claims(subject: subject, at: Date())
            let proof = try issuer.token(claims.merging(["repository_id": "123456", "ref": "refs/heads/main"]))
            tokens.append(try #require(try await broker.exchange(proof).text("access_token")))
        }
        let sequence = AuditMark.numbers.upperBound
        try await sql(
            workspace,
            "INSERT INTO audit (sequence, time, trace, kind, details) VALUES (\(sequence), 1, 'a', 'key.staged', '{}')")
        #expect(try await exchange(broker, issuer) == 503)
        for (index, subject) in ["one", "two"].enumerated() {
            let readiness = try await broker.send(.GET, broker.telemetry + "/readyz")
            #expect(
                readiness.status == 503 && readiness.body.contains("a record that no broker made"), "\(readiness.body)")
            let revoked = try await AdministeredBroker.daypass(
                ["revoke", "subject", "github:\(subject)", "--yes"],
                ["DAYPASS_SOCKET": workspace.path("run/admin.sock")])
            #expect(revoked.status == 0, "\(revoked.error)")
            let found = try await verify(workspace)
            #expect(found.status == 1 && found.error.contains("is missing"), "\(found)")
            broker.process.signal(SIGKILL)
            _ = try await broker.process.outcome()
            broker = try await restarted(broker)
            #expect(try await exchange(broker, issuer) == 503)
            for (number, token) in tokens.enumerated() {
                #expect(try await broker.verify(token).status == (number <= index ? 401 : 200))
            }
        }
        try await stop(broker)
    }

    @Test func `a store that was set back grants nothing until its file was moved away, and the copy shows it`()
        async throws
    {
        let workspace = try Workspace()
        try workspace.write("log/.keep", "")
        var (broker, issuer) = try await start(workspace)
        for _ in 0..<5 { #expect(try await exchange(broker, issuer) == 200) }
        try await stop(broker)
        let (store, copy) = (workspace.path("data/daypass.db"), workspace.path("old.db"))
        try FileManager.default.copyItem(atPath: store, toPath: copy)
        broker = try await restarted(broker)
        for _ in 0..<5 { #expect(try await exchange(broker, issuer) == 200) }
        try await stop(broker)
        let kept = workspace.path("kept.jsonl")
        try FileManager.default.copyItem(atPath: workspace.path("log/audit.jsonl"), toPath: kept)
        try FileManager.default.removeItem(atPath: store)
        try FileManager.default.moveItem(atPath: copy, toPath: store)
        broker = try await restarted(broker)
        #expect(broker.process.error.contains("the audit file ends with what the store does not have"))
        let contradicted = try await verify(workspace)
        #expect(contradicted.status == 1 && contradicted.error.contains("in audit.file is not in the store"))
        #expect(try await exchange(broker, issuer) == 503)
        let file = workspace.path("log/audit.jsonl")
        try FileManager.default.moveItem(atPath: file, toPath: file + ".1")
        broker.process.signal(SIGHUP)
        try await waitUntil("the file is there again") { FileManager.default.fileExists(atPath: file) }
        #expect(try await verify(workspace).status == 0)
        let rollback = try await verify(workspace, "--against", kept)
        #expect(rollback.status == 1)
        #expect(
            rollback.error.contains("record 7 is not in the store, which ends before it: the store was set back"),
            "\(rollback.error)")
        // It goes on otherwise: a fork.
        for _ in 0..<5 { #expect(try await exchange(broker, issuer) == 200) }
        let fork = try await verify(workspace, "--against", kept)
        #expect(fork.status == 1 && fork.error.contains("record 7 is another one in the store"), "\(fork.error)")
        try await stop(broker)
    }

    @Test func `a file that is rotated goes on under its name, at SIGHUP at once`() async throws {
        let workspace = try Workspace()
        try workspace.write("log/.keep", "")
        let (broker, issuer) = try await start(workspace)
        #expect(try await exchange(broker, issuer) == 200)
        let (file, old) = (workspace.path("log/audit.jsonl"), workspace.path("log/audit.jsonl.1"))
        try FileManager.default.moveItem(atPath: file, toPath: old)
        broker.process.signal(SIGHUP)
        try await waitUntil("the file is there again") { FileManager.default.fileExists(atPath: file) }
        #expect(try await exchange(broker, issuer) == 200)
        for path in [old, file] {
            let done = try await verify(workspace, "--against", path)
            #expect(done.status == 0, "\(done)")
        }
        try await stop(broker)
    }

    @Test(.enabled("a file system has to be mounted") { try await SmallDisk.isPossible() })
    func `while the file's disk is full nothing is granted and readiness says so, until there is room again`()
        async throws
    {
        let workspace = try Workspace()
        try workspace.write("log/.keep", "")
        let disk = SmallDisk(
            workspace: workspace,
            steps: [
                ("filled", "cat /dev/zero > log/filling"), ("freed", "rm log/filling"),
                ("copied", "cp log/audit.jsonl copy.jsonl"),
            ], folder: "log", size: "1m")
        let (broker, issuer) = try await start(workspace, through: disk.wrapper)
        #expect(try await exchange(broker, issuer) == 200)
        try await disk.reach("filled")
        var granted = 0
        while try await exchange(broker, issuer) == 200 {
            granted += 1
            try #require(granted < 5000, "a disk that is full takes no more")
        }
        #expect(try await exchange(broker, issuer) == 503)
        let readiness = try await broker.send(.GET, broker.telemetry + "/readyz")
        #expect(readiness.status == 503 && readiness.body.contains("audit.file"), "\(readiness.body)")
        let revoked = try await AdministeredBroker.daypass(
            ["revoke", "subject", "github:nobody", "--yes"], ["DAYPASS_SOCKET": workspace.path("run/admin.sock")])
        #expect(revoked.status == 0, "\(revoked.error)")
        try await disk.reach("freed")
        try await waitUntil("it is ready") {
            try await broker.send(.GET, broker.telemetry + "/readyz").status == 200
        }
        #expect(try await exchange(broker, issuer) == 200)
        try await disk.reach("copied")
        let done = try await verify(workspace, "--against", workspace.path("copy.jsonl"))
        #expect(done.status == 0, "\(done)")
        try await stop(broker)
    }
}
