import Broker
import BrokerTesting
import Foundation
import GRDB
import JOSE
import Testing

@testable import BrokerSQLite

@Suite struct `Deleting from the SQLite store` {
    let folder: TemporaryFolder
    private let day: Duration = .seconds(86_400)
    private var late: Date { Sample.time.addingTimeInterval(86_401) }

    init() throws {
        folder = try TemporaryFolder()
    }

    private func batch(_ table: RetainedTable, rows: Int = 500) -> PruningBatch {
        PruningBatch(table, maximumRows: rows, retention: day, at: late, trace: TraceID())
    }

    @Test(arguments: RetainedTable.allCases)
    func `is not done where it cannot be recorded`(table: RetainedTable) async throws {
        let store = try folder.open()
        for number in 0..<3 {
            try await store.record(Sample.session("s\(number)"), Sample.grant(session: "s\(number)"))
        }
        try await store.perform("refuse records") {
            try $0.execute(
                sql: """
                    CREATE TEMP TRIGGER refuse BEFORE INSERT ON main.audit WHEN new.kind = 'records.deleted'
                    BEGIN SELECT raise(ABORT, 'told to'); END
                    """)
        }
        await #expect(throws: StoreFailure.self) {
            try await store.prune(
                PruningBatch(
                    table, maximumRows: 9, retention: day, at: late.addingTimeInterval(86_400), trace: TraceID()))
        }
        #expect(try folder.number("SELECT count(*) FROM audit") == 3)
        #expect(try folder.number("SELECT count(*) FROM sessions") == 3)
        // Nothing of it is in the way of what comes next.
        try await store.record(Sample.refusal())
        await store.close()
    }

    @Test(arguments: RetainedTable.allCases)
    func `is not recorded where it cannot be done`(table: RetainedTable) async throws {
        let store = try folder.open()
        try await store.record(Sample.session("s1"), Sample.grant(session: "s1"))
        try await store.perform("refuse to delete") {
            try $0.execute(
                sql: """
                    CREATE TEMP TRIGGER refuse BEFORE DELETE ON main.\(table.rawValue)
                    BEGIN SELECT raise(ABORT, ''); END
                    """)
        }
        let late = late.addingTimeInterval(86_400)
        await #expect(throws: StoreFailure.self) {
            try await store.prune(
                PruningBatch(table, maximumRows: 9, retention: day, at: late, trace: TraceID()))
        }
        #expect(try folder.number("SELECT count(*) FROM audit") == 1)
        await store.close()
    }

    @Test func `finds its rows by their numbers alone`() async throws {
        let store = try folder.open()
        let plans = try await store.perform("explain") { db in
            try [
                "audit WHERE sequence > 1 ORDER BY sequence LIMIT 5", "sessions WHERE rowid > 1 ORDER BY rowid LIMIT 5",
            ]
            .flatMap {
                try Row.fetchAll(db, sql: "EXPLAIN QUERY PLAN SELECT * FROM \($0)").map { $0["detail"] as String }
            }
        }
        #expect(
            plans == [
                "SEARCH audit USING INTEGER PRIMARY KEY (rowid>?)",
                "SEARCH sessions USING INTEGER PRIMARY KEY (rowid>?)",
            ])
        await store.close()
    }

    @Test func `exchanges are recorded between two batches`() async throws {
        let store = try folder.open()
        for number in 0..<40 {
            try await store.record(Sample.session("s\(number)"), Sample.grant(session: "s\(number)"))
        }
        let gate = await store.occupy()
        let later = late.addingTimeInterval(86_400)
        let batches = (0..<2).map { _ in
            PruningBatch(.sessions, maximumRows: 10, retention: day, at: later, trace: TraceID())
        }
        async let first = store.prune(batches[0])
        async let recorded: Void = store.record(Sample.refusal())
        async let second = store.prune(batches[1])
        gate.open()
        #expect(try await [first.deleted, second.deleted] == [10, 10])
        try await recorded
        #expect(try folder.number("SELECT count(*) FROM audit WHERE kind = 'records.deleted'") == 2)
        #expect(try folder.number("SELECT count(*) FROM audit WHERE kind = 'exchange.refused'") == 1)
        await store.close()
    }

    @Test func `goes on batch by batch until nothing old is left, and everything it did is on the record`() async throws
    {
        let (store, clock) = (try folder.open(), ManualClock(now: Sample.time))
        _ = try await StoreConformance.signing(store)
        func record(_ session: SessionRecord, _ use: SubjectTokenUse, _ store: SQLiteStore) async throws -> UseOutcome {
            try await store.record(session, Sample.refusal(time: clock.now), using: use)
        }
        #expect(await store.recordAll((0..<1100).map { Sample.session("s\($0)") }).isEmpty)
        var pruning = StorePruning(
            store, retention: day, archive: folder.path + "/archive", clock: clock, logger: .silent)
        clock.advance(by: .seconds(3600))
        await pruning.round()
        #expect(try folder.number("SELECT count(*) FROM sessions") == 1100)
        // It ends soon, and its token may be presented a day long.
        let brief = SessionRecord(
            id: "brief", issuer: Sample.issuer, subject: "ci:a", rule: "brief", start: clock.now,
            end: clock.now.addingTimeInterval(1), claims: [:])
        let use = Sample.use(atMost: 9, expires: clock.now.addingTimeInterval(86_460))
        #expect(try await record(brief, use, store) == .recorded)
        try await store.makeCheckpoint()
        clock.advance(by: day + .seconds(30))
        await pruning.round()
        #expect(try folder.number("SELECT count(*) FROM audit WHERE kind LIKE 'exchange.%'") == 0)
        #expect(try await record(Sample.session("next", rule: "brief"), use, store) == .joins(brief))
        clock.advance(by: .seconds(3600))
        await pruning.round()
        #expect(try folder.number("SELECT count(*) FROM sessions") == 0)
        let sums = try ["records.deleted", "records.archived"].map { kind in
            try folder.number("SELECT sum(json_extract(details, '$.count')) FROM audit WHERE kind = '\(kind)'")
        }
        #expect(sums == [1101, 1102])
        #expect(
            try folder.number("SELECT max(json_extract(details, '$.count')) FROM audit WHERE kind = 'records.deleted'")
                == 500)
        await store.close()
    }

    @Test func `a time that is no number is reported and deletes nothing`() async throws {
        let store = try folder.open()
        try await store.record(Sample.session("s1"), Sample.grant(session: "s1"))
        try await store.perform("damage") {
            try $0.execute(
                sql: """
                    CREATE TABLE loose AS SELECT * FROM sessions; DROP TABLE sessions;
                    ALTER TABLE loose RENAME TO sessions; UPDATE sessions SET "end" = 'yesterday';
                    """)
        }
        let failure = await #expect(throws: StoreFailure.self) { try await store.prune(batch(.sessions)) }
        #expect(failure?.code == .unreadable)
        #expect(try folder.number("SELECT count(*) FROM sessions") == 1)
        await store.close()
    }
}

@Suite struct `A store of the second schema` {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private func makeSecond(rows: Int = 3) async throws {
        try await folder.connect().writeWithoutTransaction { db in
            try Connection.makeDurable(db)
            try Schema.migrate(db, to: 2)
            try db.execute(
                sql: """
                    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(rows))
                    INSERT INTO audit (time, trace, kind, issuer, details)
                    SELECT 1700000000000 + i, printf('%032x', i), 'exchange.refused', 'ci', '{"i":' || i || '}' FROM n;
                    DELETE FROM audit WHERE sequence = \(rows);
                    """)
        }
    }

    @Test func `has an issuer in every audit record`() async throws {
        try await makeSecond()
        #expect(try folder.number("PRAGMA user_version") == 2)
        #expect(throws: DatabaseError.self) {
            try folder.connect().write {
                try $0.execute(sql: "INSERT INTO audit (time, trace, kind, details) VALUES (1, 'a', 'b', '{}')")
            }
        }
    }

    @Test func `is brought up to date with every record, and numbers go on after the last that was given`() async throws
    {
        try await makeSecond(rows: 1000)
        let store = try folder.open(.existing)
        #expect(try folder.number("SELECT count(*) FROM audit") == 999)
        #expect(
            try folder.number("SELECT sum(json_extract(details, '$.i') = sequence AND issuer = 'ci') FROM audit") == 999
        )
        let trace = try #require(TraceID(parsing: "000000000000000000000000000003e7"))
        #expect(try await store.auditEvents(trace: trace).first?.details == ["i": 999])
        let event = AuditEvent(
            time: Sample.time, trace: TraceID(), kind: .recordsDeleted, issuer: nil, subject: nil, details: [:])
        try await store.record(event)
        #expect(try await store.auditEvents(trace: event.trace).first?.isSame(as: event) == true)
        #expect(try folder.number("SELECT max(sequence) FROM audit") == 1001)
        #expect(try folder.number("SELECT count(*) FROM audit WHERE issuer IS NULL") == 1)
        await store.close()
        let check = try await folder.connect().read { try String.fetchAll($0, sql: "PRAGMA integrity_check") }
        #expect(check == ["ok"])
        #expect(try folder.number("SELECT count(*) FROM sqlite_schema WHERE name = 'audit_trace'") == 1)
        #expect(try folder.number("PRAGMA user_version") == Schema.version)
        await (try folder.open(.existing)).close()
    }

    @Test func `no column but that one loses anything`() async throws {
        try await makeSecond()
        let sql = "SELECT name || ' ' || type || ' ' || \"notnull\" || ' ' || pk FROM pragma_table_info('audit')"
        let before = try await folder.connect().read { try String.fetchAll($0, sql: sql) }
        await (try folder.open(.existing)).close()
        let after = try await folder.connect().read { try String.fetchAll($0, sql: sql) }
        #expect(before.map { $0 == "issuer TEXT 1 0" ? "issuer TEXT 0 0" : $0 } + ["hash BLOB 0 0"] == after)
        #expect(before.contains("issuer TEXT 1 0"))
        let table = "SELECT sql LIKE '%AUTOINCREMENT%STRICT' FROM sqlite_schema WHERE type = 'table' AND name = 'audit'"
        #expect(try folder.number(table) == 1)
        let issuers = "SELECT count(*) FROM sqlite_schema WHERE sql LIKE '%issuer TEXT NOT NULL%'"
        #expect(try folder.number(issuers) == 3, "the other tables keep theirs")
    }

    @Test func `a schema of the same makes a new store and brings an old one up to date`() async throws {
        try await makeSecond()
        await (try folder.open(.existing)).close()
        let other = try TemporaryFolder()
        await (try other.open()).close()
        let sql = "SELECT type || name || sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY 1"
        let (old, new) = try await (
            folder.connect().read { try String.fetchAll($0, sql: sql) },
            other.connect().read { try String.fetchAll($0, sql: sql) }
        )
        #expect(old == new)
    }
}
