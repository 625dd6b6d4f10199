import Broker
import BrokerTesting
import Foundation
import GRDB
import JOSE
import Synchronization
import Testing

@testable import BrokerSQLite

@Suite struct `Revocations in a file` {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private func set(_ target: Revocation.Target, _ sequence: UInt64 = 1) -> RevocationSet {
        RevocationSet([Sample.revocation(sequence, target).revocation])
    }

    @Test func `what grants is refused just before it is committed, and what grants nothing is recorded`() async throws
    {
        let store = try folder.open()
        let joined = Sample.session("joined")
        let use = Sample.use(atMost: 5)
        #expect(try await store.record(joined, Sample.grant(session: "joined"), using: use) == .recorded)
        let revoked = set(.subject(joined.subject))
        store.ask { revoked }
        #expect(try await store.record(Sample.session("new"), Sample.grant(session: "new")) == .revoked)
        #expect(try await store.record(Sample.grant(session: "joined"), renewing: joined) == .revoked)
        #expect(try await store.record(joined, Sample.grant(session: "joined"), using: use) == .revoked)
        #expect(try folder.number("SELECT count(*) FROM sessions") == 1)
        #expect(try folder.number("SELECT count(*) FROM audit") == 1)
        #expect(try folder.number("SELECT sum(count) FROM uses") == 1)
        try await store.record(Sample.refusal())
        let later = Sample.session("later", revision: 1)
        #expect(try await store.record(later, Sample.grant(session: "later")) == .recorded)
        await store.close()
    }

    /// Whatever is asked first in a transaction does not know it yet; whatever is asked last does.
    @Test func `one that comes between the first of a group and its commit is seen`() async throws {
        let store = try folder.open()
        let (none, revoked) = (RevocationSet.none, set(.session("b")))
        let asked = Mutex(0)
        store.ask {
            asked.withLock { asked in
                asked += 1
                return asked == 1 ? none : revoked
            }
        }
        let gate = await store.occupy()
        async let first = store.record(Sample.session("a"), Sample.grant(session: "a"))
        async let second = store.record(Sample.session("b"), Sample.grant(session: "b"))
        await store.waits(for: 2)
        gate.open()
        #expect(try await first == .recorded)
        #expect(try await second == .revoked)
        #expect(try folder.number("SELECT count(*) FROM sessions") == 1)
        #expect(try folder.number("SELECT count(*) FROM audit") == 1)
        await store.close()
    }

    /// A closure that is wrapped once more for each record overflows the stack of a broker that runs for long.
    @Test func `asking is as deep for the thousandth record as for the first`() async throws {
        let store = try folder.open()
        let depths = Mutex<[Int]>([])
        store.ask {
            depths.withLock { $0.append(Thread.callStackReturnAddresses.count) }
            return .none
        }
        for _ in 0..<1000 { try await store.record(Sample.refusal()) }
        let (least, most) = depths.withLock { ($0.min() ?? 0, $0.max() ?? 0) }
        #expect(least > 0 && most < least + 20, "\(least)...\(most)")
        await store.close()
    }

    @Test func `they are recorded where nothing else is: others' rows do not fail them, and too many waiting neither`()
        async throws
    {
        let store = try folder.open(waitingBound: 1)
        try await store.perform("make commits of grants fail") { db in
            try db.execute(
                sql: """
                    CREATE TABLE parents (id INTEGER PRIMARY KEY);
                    CREATE TABLE children (id REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED);
                    CREATE TEMP TRIGGER orphan AFTER INSERT ON main.sessions BEGIN INSERT INTO children VALUES (1); END
                    """)
        }
        let gate = await store.occupy()
        async let failures = store.recordAll([Sample.session("s1")])
        await store.waits(for: 1)
        async let recorded: Void = store.record([Sample.revocation(1)])
        await store.waits(for: 2)
        gate.open()
        try await recorded
        #expect(await failures.count == 1)
        #expect(try await store.revocations().map(\.sequence) == [1])
        await store.close()
    }

    @Test(arguments: [
        "kind = 'x'", "value = NULL", "sequence = -1", "caller = '{}'", "caller = 'x'", "kind = 'issuer', value = 'A'",
        "kind = 'all'",
    ])
    func `a damaged one is an error, never passed over`(change: String) async throws {
        let store = try folder.open()
        try await store.record([Sample.revocation(1), Sample.revocation(2)])
        try await store.perform("damage") { try $0.execute(sql: "UPDATE revocations SET \(change) WHERE sequence = 2") }
        let failure = await #expect(throws: StoreFailure.self) { try await store.revocations() }
        #expect(failure?.code == .unreadable)
        await store.close()
    }

    @Test func `sessions of an older file carry no number, and every revocation kills them`() async throws {
        let connection = try folder.connect()
        try await connection.writeWithoutTransaction { db in
            _ = try String.fetchOne(db, sql: "PRAGMA journal_mode = WAL")
            try Schema.migrate(db, to: 5)
            try db.execute(
                sql: """
                    INSERT INTO sessions (id, issuer, subject, rule, start, "end", claims, lineage)
                    VALUES ('s1', 'ci', 'ci:a', 'r', 0, 1, '{}', 's1')
                    """)
        }
        try connection.close()
        let store = try folder.open()
        let session = try #require(try await store.session("s1"))
        #expect(session.revision == 0)
        #expect(set(.subject("ci:a")).kills(session) == .subject("ci:a"))
        #expect(try await store.highestRevocation() == 0)
        await store.close()
    }

    @Test func `sessions are found in a large table in steps, and each once`() async throws {
        let store = try folder.open()
        try await store.perform("fill") { db in
            try db.execute(
                sql: """
                    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
                    INSERT INTO sessions (id, issuer, subject, rule, start, "end", claims, lineage)
                    SELECT 's' || i, 'ci', 'ci:a', 'r', 0, 1800000000000,
                        json_object('n', CASE WHEN i % 10000 = 0 THEN 'x' ELSE 'y' END), 's' || i FROM n
                    """)
        }
        let condition = try #require(ClaimCondition(parsing: "n=x"))
        let all = SessionCondition(claim: condition)
        let found = try await store.sessions(all, at: Sample.time, before: nil, limit: 100)
        #expect(found.sessions.map(\.id.string) == ["s50000", "s40000", "s30000", "s20000", "s10000"])
        #expect(found.next == nil)
        let part = try await store.sessions(all, at: Sample.time, before: nil, limit: 3)
        let rest = try await store.sessions(all, at: Sample.time, before: part.next, limit: 3)
        #expect(part.sessions + rest.sessions == found.sessions && part.sessions.count == 3 && rest.next == nil)
        await store.close()
    }

    @Test func `one session is found by its id, and a list by a range of numbers, without looking at all`() async throws
    {
        let store = try folder.open()
        let everything = SessionCondition(
            subject: "a", rule: "b", issuer: "c", ancestor: "d", claim: ClaimCondition(parsing: "e=f"))
        let plans = try await store.perform("explain") { db in
            try [SessionRow.selection, SessionRow.list(.init()), SessionRow.list(everything)].map { sql in
                let arguments = StatementArguments(Array(repeating: 1, count: sql.count { $0 == "?" }))
                return try Row.fetchAll(db, sql: "EXPLAIN QUERY PLAN \(sql)", arguments: arguments)
                    .map { $0["detail"] as String }
            }
        }
        #expect(plans[0] == ["SEARCH sessions USING INDEX sqlite_autoindex_sessions_1 (id=?)"])
        for plan in plans[1...] { #expect(plan == ["SEARCH sessions USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]) }
        await store.close()
    }

    @Test func `the reserve is a file of its own that is there in full`() async throws {
        let store = try SQLiteStore(path: folder.file, .creating, logger: .silent, reserve: 1 << 20)
        let path = folder.file + ".reserve"
        #expect(try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int == 1 << 20)
        #expect(mode(of: path) == 0o600)
        await store.close()
    }
}
