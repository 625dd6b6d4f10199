import Broker
import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

/// What somebody does to the records of a broker that is stopped, and what the command says of it when it runs again.
@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `Tampering with the audit trail` {
    /// There are checkpoints behind the records 11, 21 and 31, and one more where a minute passed.
    private static let cases: [(deed: String, sql: String, words: String)] = [
        (
            "altered", "UPDATE audit SET subject = 'github:other' WHERE sequence = 5",
            "record 5 is not what was recorded"
        ),
        ("removed", "DELETE FROM audit WHERE sequence = 7", "record 7 is missing"),
        (
            "reordered",
            """
            UPDATE audit SET sequence = 99 WHERE sequence = 5; UPDATE audit SET sequence = 5 WHERE sequence = 6;
            UPDATE audit SET sequence = 6 WHERE sequence = 99; UPDATE sqlite_sequence SET seq = 31
            """, "record 5 is not what was recorded: it was altered, moved or put in"
        ),
        (
            "truncated", "DELETE FROM audit WHERE sequence > 25",
            "record 26 is missing, and all up to record "
        ),
        (
            "truncated with its checkpoint",
            "DELETE FROM audit WHERE sequence > 25; DELETE FROM audit_checkpoints WHERE sequence > 25",
            "record 26 is missing, and all up to record 31, the last number that was given"
        ),
        (
            "spliced",
            """
            ATTACH 'OTHER' AS other; DELETE FROM audit WHERE sequence = 5;
            INSERT INTO audit SELECT * FROM other.audit WHERE sequence = 5
            """, "record 5 is not what was recorded"
        ),
        ("a checkpoint removed", "DELETE FROM audit_checkpoints WHERE number = 2", "checkpoint 2 is missing"),
        (
            "a checkpoint altered", "UPDATE audit_checkpoints SET count = count - 1 WHERE number = 2",
            "checkpoint 2 is not signed by a checkpoint key of this store"
        ),
        (
            "put in",
            "INSERT INTO audit SELECT 32, time, trace, kind, issuer, subject, rule, session, token, reason, "
                + "details, hash FROM audit WHERE sequence = 31", "record 32 is not what was recorded"
        ),
    ]

    private func started(_ workspace: Workspace) async throws -> (broker: RunningBroker, issuer: TestIssuer) {
        let issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        let rules = try RunningBroker.fileIssuer(issuer, in: workspace, replay: "off")
        let broker = try await RunningBroker(
            workspace, issuersAndRules: rules, admin: "{socket: run/admin.sock}")
        try await administered(broker)
        return (broker, issuer)
    }

    private func administered(_ broker: RunningBroker) async throws {
        try await waitUntil("daypassd is administered") { broker.process.error.contains(#""listener":"admin""#) }
    }

    private func exchange(_ count: Int, _ broker: RunningBroker, _ issuer: TestIssuer) async throws {
        for _ in 0..<count {
            let claims = issuer.claims(subject: "job", at: Date())
            let proof = try issuer.token(claims.merging(["repository_id": "123456", "ref": "refs/heads/main"]))
            #expect(try await broker.exchange(proof).status == 200)
        }
    }

    private func stop(_ broker: RunningBroker) async throws {
        broker.process.signal(SIGTERM)
        #expect(try await broker.process.outcome().status == 0)
    }

    private func verify(_ workspace: Workspace) async throws -> RunningProcess.Outcome {
        try await AdministeredBroker.daypass(
            ["audit", "verify"], ["DAYPASS_SOCKET": workspace.path("run/admin.sock")])
    }

    @Test(.enabled(if: Programs.python != nil)) func `each is named by the command, by the first record that is wrong`()
        async throws
    {
        let others = try Workspace()
        let (other, otherIssuer) = try await started(others)
        try await exchange(10, other, otherIssuer)
        try await stop(other)
        let workspace = try Workspace()
        var (broker, issuer) = try await started(workspace)
        for _ in 0..<2 {
            try await exchange(10, broker, issuer)
            try await stop(broker)
            broker = try await RunningBroker(restarting: broker)
            try await administered(broker)
        }
        try await exchange(10, broker, issuer)
        try await stop(broker)
        let (store, kept) = (workspace.path("data/daypass.db"), workspace.path("kept.db"))
        try FileManager.default.copyItem(atPath: store, toPath: kept)
        let code = "import sqlite3,sys;c=sqlite3.connect(sys.argv[1]);c.executescript(sys.argv[2]);c.commit()"
        for (deed, sql, words) in Self.cases {
            for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: store + suffix) }
            try FileManager.default.copyItem(atPath: kept, toPath: store)
            let script = sql.replacing("OTHER", with: others.path("data/daypass.db"))
            let done = try await RunningProcess(try #require(Programs.python), ["-c", code, store, script]).outcome()
            try #require(done.status == 0, "\(deed): \(done.error)")
            broker = try await RunningBroker(restarting: broker)
            try await administered(broker)
            let said = try await verify(workspace)
            #expect(said.status == 1 && said.error.contains(words), "\(deed): \(said.error)\(said.output)")
            broker.process.signal(SIGKILL)
            _ = try await broker.process.outcome()
        }
        // As it was, it is intact.
        for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: store + suffix) }
        try FileManager.default.copyItem(atPath: kept, toPath: store)
        broker = try await RunningBroker(restarting: broker)
        try await administered(broker)
        let intact = try await verify(workspace)
        #expect(intact.status == 0 && intact.output.hasPrefix("intact: 31 records, "), "\(intact)")
        try await stop(broker)
    }

    @Test func `tail follows over a restart of the broker, and leaves nothing out`() async throws {
        let workspace = try Workspace()
        var (broker, issuer) = try await started(workspace)
        try await exchange(2, broker, issuer)
        let tail = try RunningProcess(
            Programs.daypass,
            ["audit", "tail", "--follow", "-n", "1", "--json", "--socket", workspace.path("run/admin.sock")])
        try await waitUntil("it shows the last one") { tail.output.contains(#""sequence":3"#) }
        try await stop(broker)
        try await waitUntil("it waits for the broker") { tail.error.contains("trying again") }
        broker = try await RunningBroker(restarting: broker)
        try await administered(broker)
        try await exchange(2, broker, issuer)
        try await waitUntil("it shows those that come") { tail.output.contains(#""sequence":5"#) }
        tail.signal(SIGINT)
        let outcome = try await tail.outcome()
        let numbers = try outcome.output.split(separator: "\n").map {
            try JSONReader.readObject(Array($0.utf8), depth: 64)["sequence"]?.number
        }
        #expect(numbers == [3, 4, 5])
        #expect(outcome.error.contains("the broker answers again"), "\(outcome.error)")
        try await stop(broker)
    }
}
