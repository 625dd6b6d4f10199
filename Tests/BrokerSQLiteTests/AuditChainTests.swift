import Broker
import BrokerTesting
import Foundation
import GRDB
import JOSE
import OpenSSL
import Testing

@testable import BrokerSQLite

@Suite struct `The chain of audit records` {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    /// A store of 40 records with a checkpoint behind each ten, and what opens its checkpoint key.
    private func filled() async throws -> (masterKey: MasterKey, keys: CheckpointKeys) {
        let store = try folder.open()
        let (masterKey, record) = try await StoreConformance.signing(store)
        for number in 2...40 {
            try await store.record(Sample.session("s\(number)"), Sample.grant(session: "s\(number)"))
            if number.isMultiple(of: 10) { try await store.makeCheckpoint() }
        }
        await store.close()
        return (masterKey, try #require(try CheckpointKeys(opening: [record], with: masterKey)))
    }

    /// What verifying says after `sql` was run by somebody who can write the file and has no key.
    private func report(
        after sql: String, _ keys: CheckpointKeys, rechaining first: Int64? = nil
    ) async throws -> AuditReport {
        try await folder.connect().writeWithoutTransaction { db in
            try db.execute(sql: sql)
            if let first { try Self.rechain(db, from: first) }
        }
        let store = try folder.open(.existing)
        store.sign(with: keys)
        let report = try await store.verifyAudit(after: nil, records: .max)
        await store.close()
        return report
    }

    /// Chains all from a record on anew, as whoever knows how it is done can.
    private static func rechain(_ db: Database, from first: Int64) throws {
        let chain = AuditChain()
        var previous =
            try Data.fetchOne(
                db, sql: "SELECT hash FROM audit WHERE sequence < ? ORDER BY sequence DESC LIMIT 1",
                arguments: [first]
            ).map { [UInt8]($0) } ?? AuditChain.start
        var hashed: [(Int64, [UInt8])] = []
        var columns = AuditColumns(time: 0)
        let statement = try db.makeStatement(sql: AuditReading.selection)
        try statement.rows(binding: { $0.integer(first - 1) }) { row in
            columns.read(row)
            previous = chain.hash(after: previous, sequence: row.integer(0), columns.bytes)
            hashed.append((row.integer(0), previous))
            return true
        }
        for (sequence, hash) in hashed {
            try db.execute(sql: "UPDATE audit SET hash = ? WHERE sequence = ?", arguments: [Data(hash), sequence])
        }
    }

    @Test func `is intact as it was recorded, and says how far it is signed`() async throws {
        let (_, keys) = try await filled()
        let report = try await report(after: "SELECT 1", keys)
        #expect(report.finding == nil && report.records == 40 && report.checkpoints == 4 && report.unsealed == 0)
        #expect(report.first == 1 && report.last?.sequence == 40 && report.lastCheckpoint?.number == 4)
    }

    /// Each column, also one that was NULL, the number itself, and the stored hash.
    @Test(arguments: [
        "time = time + 1", "trace = '00000000000000000000000000000000'", "kind = 'exchange.refused'", "issuer = NULL",
        "issuer = 'other'", "subject = 'ci:other'", "subject = ''", "subject = NULL", "rule = 'x'", "session = 'x'",
        "token = NULL", "reason = ''", "reason = 'x'", #"details = '{}'"#, "hash = NULL", "hash = x''",
        "hash = zeroblob(32)", "details = details || ' '", "subject = rule, rule = subject",
        "rule = rule || session, session = ''",
    ])
    func `names the first record that was altered`(change: String) async throws {
        let (_, keys) = try await filled()
        let report = try await report(
            after: "UPDATE audit SET \(change) WHERE sequence = 17; UPDATE audit SET rule = 'y' WHERE sequence = 33",
            keys)
        #expect(report.finding?.kind == .altered && report.finding?.sequence == 17, "\(String(describing: report))")
        #expect(report.records == 16)
    }

    /// What is done, and how much of the rest is chained anew by whoever did it.
    @Test(
        arguments: [
            ("DELETE FROM audit WHERE sequence = 17", nil, AuditFinding.Kind.missing, 17),
            ("DELETE FROM audit WHERE sequence IN (15, 16, 17)", nil, .missing, 15),
            ("DELETE FROM audit WHERE sequence = 1", nil, .altered, 2),
            ("DELETE FROM audit WHERE sequence <= 10", nil, .missing, 1),
            (
                "DELETE FROM audit WHERE sequence <= 10; DELETE FROM audit_checkpoints WHERE number = 1", nil, .altered,
                11
            ),
            // Reordered.
            (
                "UPDATE audit SET sequence = 99 WHERE sequence = 17; UPDATE audit SET sequence = 17 WHERE sequence = 18;"
                    + "UPDATE audit SET sequence = 18 WHERE sequence = 99", nil, .altered, 17
            ),
            // Truncated.
            ("DELETE FROM audit WHERE sequence > 35", nil, .missing, 36),
            ("DELETE FROM audit WHERE sequence = 40", nil, .missing, 40),
            // Everything behind it chained anew: then the next checkpoint shows it.
            ("UPDATE audit SET subject = 'ci:other' WHERE sequence = 17", 17, .rewritten, 11),
            ("UPDATE audit SET hash = NULL WHERE sequence = 17", 18, .altered, 17),
            ("DELETE FROM audit WHERE sequence = 17", 17, .rewritten, 11),
            ("DELETE FROM audit WHERE sequence = 20", 20, .missing, 20),
            ("DELETE FROM audit WHERE sequence = 1", 1, .rewritten, 1),
            (
                "DELETE FROM audit WHERE sequence = 17; UPDATE audit SET sequence = sequence + 100 WHERE sequence > 17;"
                    + "UPDATE audit SET sequence = sequence - 101 WHERE sequence > 100", 17, .rewritten, 11
            ),
            // Checkpoints.
            ("DELETE FROM audit_checkpoints WHERE number = 2", nil, .checkpoint, 30),
            ("DELETE FROM audit_checkpoints WHERE number = 1", nil, .checkpoint, 20),
            ("UPDATE audit_checkpoints SET hash = zeroblob(32) WHERE number = 2", nil, .checkpoint, 20),
            ("UPDATE audit_checkpoints SET time = time + 1 WHERE number = 2", nil, .checkpoint, 20),
            ("UPDATE audit_checkpoints SET count = count + 1 WHERE number = 2", nil, .checkpoint, 20),
            ("UPDATE audit_checkpoints SET generation = 2 WHERE number = 2", nil, .checkpoint, 20),
            ("UPDATE audit_checkpoints SET signature = zeroblob(64) WHERE number = 2", nil, .checkpoint, 20),
            ("UPDATE audit_checkpoints SET key_id = 'x' WHERE number = 2", nil, .checkpoint, 20),
            ("UPDATE audit_checkpoints SET previous = zeroblob(32) WHERE number = 2", nil, .checkpoint, 20),
            // Said to be archived, without a record of it.
            (
                "UPDATE audit_checkpoints SET archived = 12 WHERE number = 1; DELETE FROM audit WHERE sequence <= 10",
                nil,
                .missing, 1
            ),
            ("UPDATE audit_checkpoints SET archived = 12 WHERE number = 1", nil, .missing, 1),
        ] as [(String, Int64?, AuditFinding.Kind, Int64)])
    func `names the first that is wrong`(
        change: String, rechaining: Int64?, kind: AuditFinding.Kind, sequence: Int64
    ) async throws {
        let (_, keys) = try await filled()
        let report = try await report(after: change, keys, rechaining: rechaining)
        #expect(
            report.finding?.kind == kind && report.finding?.sequence == sequence,
            "\(report.finding.map { "\($0)" } ?? "nothing was found")")
    }

    @Test func `checkpoints that somebody made with a key of his own do not count`() async throws {
        let (_, keys) = try await filled()
        let (other, _) = try MasterKey.generate()
        let record = try CheckpointKey.generate(sealedWith: other, at: Sample.time)
        let forger = try CheckpointKey(opening: record, with: other)
        try await folder.connect().writeWithoutTransaction { db in
            try db.execute(sql: "UPDATE audit SET subject = 'ci:other' WHERE sequence = 17")
            try Self.rechain(db, from: 17)
            try record.insert(db)
            let old = try Checkpoint.fetch(db, "SELECT \(Checkpoint.columns) FROM audit_checkpoints ORDER BY number")
            try db.execute(sql: "DELETE FROM audit_checkpoints WHERE number > 1")
            var last = old[0]
            for checkpoint in old.dropFirst() {
                let hash = try #require(
                    try Data.fetchOne(
                        db, sql: "SELECT hash FROM audit WHERE sequence = ?", arguments: [checkpoint.sequence]))
                let place = Checkpoint.Place(
                    sequence: checkpoint.sequence, hash: [UInt8](hash), count: checkpoint.count)
                last = try Checkpoint(place, after: last, generation: 1, signedWith: forger, at: Sample.time)
                try last.insert(db)
            }
        }
        let report = try await report(after: "SELECT 1", keys)
        #expect(report.finding?.kind == .checkpoint && report.finding?.sequence == 20)
        #expect(report.finding?.message == "checkpoint 2 is not signed by a checkpoint key of this store")
        // Nor does such a key open.
        let (masterKey, _) = try MasterKey.generate()
        #expect(throws: CheckpointKeyFailure.self) { try CheckpointKeys(opening: [record], with: masterKey) }
    }

    @Test func `the records of another store fit nowhere`() async throws {
        let (_, keys) = try await filled()
        let other = try TemporaryFolder()
        let store = try other.open()
        for number in 1...40 {
            try await store.record(Sample.session("t\(number)"), Sample.grant(session: "t\(number)"))
        }
        await store.close()
        try await folder.connect().writeWithoutTransaction { db in
            try db.execute(sql: "ATTACH ? AS other", arguments: [other.file])
            try db.execute(
                sql: """
                    DELETE FROM main.audit WHERE sequence BETWEEN 11 AND 20;
                    INSERT INTO main.audit SELECT * FROM other.audit WHERE sequence BETWEEN 11 AND 20;
                    """)
        }
        let report = try await report(after: "SELECT 1", keys)
        #expect(report.finding?.kind == .altered && report.finding?.sequence == 11)
        let all = try await self.report(
            after: """
                ATTACH '\(other.file)' AS other; DELETE FROM main.audit; INSERT INTO main.audit SELECT * FROM other.audit
                """, keys)
        #expect(all.finding?.kind == .rewritten && all.finding?.sequence == 1)
    }

    @Test func `what was altered behind the last checkpoint shows while the broker runs that recorded it`() async throws
    {
        let store = try folder.open()
        _ = try await StoreConformance.signing(store)
        for number in 2...6 {
            try await store.record(Sample.session("s\(number)"), Sample.grant(session: "s\(number)"))
        }
        let other = try folder.connect()
        try await other.writeWithoutTransaction { db in
            try db.execute(sql: "UPDATE audit SET subject = 'ci:other' WHERE sequence = 5")
            try Self.rechain(db, from: 5)
        }
        var report = try await store.verifyAudit(after: nil, records: .max)
        #expect(report.finding?.kind == .forked && report.finding?.sequence == 6)
        // It goes on from what it recorded itself, so that no checkpoint covers what it did not record.
        try await store.record(Sample.refusal())
        try await store.makeCheckpoint()
        report = try await store.verifyAudit(after: nil, records: .max)
        #expect(report.finding?.kind == .altered && report.finding?.sequence == 7)
        try await other.writeWithoutTransaction { try $0.execute(sql: "DELETE FROM audit WHERE sequence > 4") }
        report = try await store.verifyAudit(after: nil, records: .max)
        #expect(report.finding?.kind == .missing && report.finding?.sequence == 5)
        await store.close()
    }

    @Test func `numbers that somebody took are not given again`() async throws {
        let (metrics, log) = (StoreMetrics(), LogRecorder())
        let store = try SQLiteStore(path: folder.file, .creating, logger: log.logger, metrics: metrics)
        try await store.record(Sample.refusal())
        try await folder.connect().writeWithoutTransaction {
            try $0.execute(sql: "INSERT INTO audit (time, trace, kind, details) VALUES (1, 'a', 'key.staged', '{}')")
        }
        for _ in 0..<3 { try await store.record(Sample.refusal()) }
        #expect(try await store.auditMarks(after: 0, limit: 9).map(\.sequence) == [1, 2, 3, 4, 5])
        let report = try await store.verifyAudit(after: nil, records: .max)
        #expect(report.finding?.kind == .altered && report.finding?.sequence == 2)
        #expect(log.lines.count == 1 && log.lines[0].contains("the audit trail was changed by somebody else"))
        await store.close()
    }

    @Test func `a record that fails leaves no gap and does not break what its group records`() async throws {
        let store = try folder.open()
        _ = try await StoreConformance.signing(store)
        #expect(await store.recordGroup(["a", "a", "b", "a", "c"].map { Sample.session($0) }).count == 1)
        let report = try await store.verifyAudit(after: nil, records: .max)
        #expect(report.finding == nil && report.records == 4)
        await store.close()
    }

    @Test func `a commit that fails leaves the chain where it was`() async throws {
        let store = try folder.open()
        try await store.failCommitsOfBadSessions()
        #expect(await store.recordGroup(["a", "b"].map { Sample.session($0) }).isEmpty)
        #expect(await store.recordGroup(["c", "bad"].map { Sample.session($0) }).count == 2)
        #expect(await store.recordGroup(["d"].map { Sample.session($0) }).isEmpty)
        let report = try await store.verifyAudit(after: nil, records: .max)
        #expect(report.finding == nil && report.records == 3)
        await store.close()
    }

    @Test func `goes on where it was when the store is opened again, and after a restoring`() async throws {
        let (masterKey, keys) = try await filled()
        let backup = folder.path + "/backup.db"
        _ = try StoreBackup(of: folder.file, to: backup, at: Sample.time)
        var store = try folder.open(.existing)
        store.sign(with: keys)
        for _ in 0..<5 { try await store.record(Sample.refusal()) }
        #expect(try await store.verifyAudit(after: nil, records: .max).records == 45)
        await store.close()

        let restore = try StoreRestore(from: backup, to: folder.file, replacing: true, logger: .silent)
        #expect(try CheckpointKeys(opening: await restore.store.checkpointKeys(), with: masterKey) != nil)
        try await restore.store.begin(
            StoreGeneration(number: 2), with: [Sample.key("k9", .active)], Sample.keyEvent(.storeRestored))
        _ = try await restore.commit(at: Sample.time)
        store = try folder.open(.existing)
        store.sign(with: keys)
        let checkpoint = try await store.makeCheckpoint()
        #expect(checkpoint?.generation == 2 && checkpoint?.sequence == 41)
        let report = try await store.verifyAudit(after: nil, records: .max)
        #expect(report.finding == nil && report.records == 41)
        await store.close()
    }

    @Test func `closing makes a last checkpoint`() async throws {
        let store = try folder.open()
        _ = try await StoreConformance.signing(store)
        try await store.record(Sample.refusal())
        await store.close()
        #expect(try folder.number("SELECT sequence FROM audit_checkpoints") == 2)
    }

    @Test func `is read while the broker records, as it was at one moment`() async throws {
        let store = try folder.open()
        _ = try await StoreConformance.signing(store)
        let recording = Task {
            var count = 0
            while !Task.isCancelled {
                try await store.record(Sample.refusal())
                count += 1
            }
            return count
        }
        for round in 1...20 {
            while (store.commits.trail.mark?.sequence ?? 0) < Int64(round * 20) { await Task.yield() }
            let report = try await store.verifyAudit(after: nil, records: .max)
            #expect(report.finding == nil && report.records >= Int64(round * 20), "\(report)")
        }
        recording.cancel()
        _ = try await recording.value
        await store.close()
    }
}

@Suite struct `A store from before the chain` {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    @Test func `has its records chained when it is opened, with the gaps that it has, thousand by thousand`()
        async throws
    {
        try await folder.connect().writeWithoutTransaction { db in
            try Connection.makeDurable(db)
            try Schema.migrate(db, to: 8)
            #expect(try db.columns(in: "audit").contains { $0.name == "hash" } == false)
            try db.execute(
                sql: """
                    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
                    INSERT INTO audit (time, trace, kind, issuer, details)
                    SELECT 1700000000000 + i, printf('%032x', i), 'exchange.refused', 'ci', '{"i":' || i || '}' FROM n;
                    DELETE FROM audit WHERE sequence <= 10 OR sequence IN (100, 1500, 2500);
                    """)
        }
        let log = LogRecorder()
        let store = try folder.open(.existing, logger: log.logger)
        #expect(
            log.lines == [
                "notice the store is brought up to date: its audit records are chained, once records=2487",
                "notice the audit records are chained records=2487",
            ])
        #expect(try folder.number("SELECT count(*) FROM audit WHERE length(hash) = 32") == 2487)
        _ = try await StoreConformance.signing(store)
        try await store.makeCheckpoint()
        let report = try await store.verifyAudit(after: nil, records: .max)
        #expect(report.finding == nil && report.records == 2488 && report.first == 11, "\(report)")
        #expect(report.last?.sequence == 2501 && report.lastCheckpoint?.count == 2488)
        await store.close()
    }

    @Test func `gets several checkpoints where it is long, so that no verification has to go through all of it`()
        async throws
    {
        let store = try folder.open()
        for _ in 0..<24 { try await store.record(Sample.refusal()) }
        let (masterKey, _) = try MasterKey.generate()
        let record = try CheckpointKey.generate(sealedWith: masterKey, at: Sample.time)
        let keys = try #require(try CheckpointKeys(opening: [record], with: masterKey))
        let trail = AuditTrail(clock: ManualClock(), longest: 10)
        trail.sign(with: keys)
        try await store.perform("make checkpoints") { db in
            try trail.write(db) { try $0.sealIfDue(atOnce: true) }
        }
        store.sign(with: keys)
        #expect(try await store.checkpoints(after: 0, limit: 9).map(\.sequence) == [10, 24])
        #expect(try await store.verifyAudit(after: nil, records: .max).finding == nil)
        #expect(try await store.verifyAudit(after: nil, records: 3).next == 1)
        await store.close()
    }
}
