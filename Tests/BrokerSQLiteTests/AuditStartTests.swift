import Broker
import BrokerTesting
import Foundation
import GRDB
import JOSE
import Testing

@testable import BrokerSQLite

@Suite struct `The audit trail at the start of a broker` {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    /// Ten records and a checkpoint, three times.
    private func filled() async throws -> CheckpointKeys {
        let store = try folder.open()
        _ = try await StoreConformance.signing(store)
        for number in 2...30 {
            try await store.record(Sample.refusal())
            if number.isMultiple(of: 10) { try await store.makeCheckpoint() }
        }
        let keys = try #require(store.commits.trail.keys)
        await store.close()
        return keys
    }

    private func alter(_ sql: String) async throws {
        try await folder.connect().writeWithoutTransaction { try $0.execute(sql: sql) }
    }

    /// The last records chained to those that stand before them, as whoever knows how it is done can.
    private func rechain(from first: Int64) async throws {
        try await folder.connect().writeWithoutTransaction { db in
            var previous = try AuditReading.marks(db, after: first - 2, limit: 1)[0].hash
            var columns = AuditColumns(time: 0)
            var marks: [AuditMark] = []
            try db.makeStatement(sql: AuditReading.selection).rows(binding: { $0.integer(first - 1) }) { row in
                columns.read(row)
                previous = AuditChain().hash(after: previous, sequence: row.integer(0), columns.bytes)
                marks.append(AuditMark(sequence: row.integer(0), hash: previous))
                return true
            }
            for mark in marks {
                try db.execute(
                    sql: "UPDATE audit SET hash = ? WHERE sequence = ?", arguments: [Data(mark.hash), mark.sequence])
            }
        }
    }

    @Test(
        arguments: [
            ("SELECT 1", nil, nil),
            ("DELETE FROM audit WHERE sequence > 28", nil, "record 29 is missing"),
            // With the checkpoints behind it: that the numbers were given, the table still knows.
            (
                "DELETE FROM audit WHERE sequence > 25; DELETE FROM audit_checkpoints WHERE number = 3", nil,
                "record 26 is missing"
            ),
            ("DELETE FROM audit_checkpoints", nil, "there is no checkpoint, although there is a checkpoint key"),
            ("DELETE FROM audit_checkpoints WHERE number = 2", nil, "checkpoint 2 is missing"),
            ("DELETE FROM audit_checkpoints WHERE number < 3", nil, "checkpoint 1 is missing"),
            ("UPDATE audit SET reason = 'x' WHERE sequence = 24", 24, "is not what was recorded"),
            (
                """
                DELETE FROM audit_checkpoints WHERE number > 1;
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 981)
                INSERT INTO audit (time, trace, kind, details) SELECT 1, 'a', 'key.staged', '{}' FROM n
                """, 31, "records stand behind the last checkpoint"
            ),
            ("UPDATE audit_checkpoints SET signature = zeroblob(64) WHERE number = 2", nil, "is not signed"),
            // What is no text, wherever it stands.
            ("UPDATE audit_checkpoints SET key_id = CAST(x'ff' AS TEXT) WHERE number = 2", nil, "is not signed"),
            ("UPDATE audit_checkpoints SET key_id = CAST(x'ff' AS TEXT) WHERE number = 3", nil, "is not signed"),
            // However long ago it was signed.
            ("DELETE FROM audit_checkpoints WHERE number = 3", nil, "checkpoint 3 is missing"),
            (
                """
                UPDATE audit SET subject = 'ci:other' WHERE sequence = 12;
                DELETE FROM audit_checkpoints WHERE number > 1
                """, 12, "checkpoint 2 is missing, and all up to checkpoint 3"
            ),
            (
                """
                UPDATE audit SET subject = 'ci:other' WHERE sequence = 12;
                DELETE FROM audit_checkpoints WHERE number > 1; UPDATE audit_last SET number = 1
                """, 12, "no signature says that checkpoint 1 is the last"
            ),
            ("DELETE FROM audit_last", nil, "no signature says that checkpoint 3 is the last"),
            ("UPDATE audit_last SET signature = zeroblob(64)", nil, "no signature says that checkpoint 3 is the last"),
            ("UPDATE audit_last SET key_id = CAST(x'ff' AS TEXT)", nil, "no signature says that checkpoint 3"),
            (
                """
                DELETE FROM audit_checkpoints;
                INSERT INTO audit (time, trace, kind, details) VALUES (1, 'a', 'checkpoint-key.made', '{}')
                """, 31, "checkpoint"
            ),
            // In front of the first.
            (
                """
                INSERT INTO audit_checkpoints (number, sequence, hash, time, count, generation, key_id, previous, signature) \
                SELECT -9223372036854775808, 5, hash, time, count, generation, key_id, previous, signature \
                FROM audit_checkpoints WHERE number = 1
                """, nil, "has a number that no broker gives"
            ),
            (
                "UPDATE audit SET sequence = -9223372036854775808 WHERE sequence = 1", nil,
                "has a number that no broker gives"
            ),
        ] as [(String, Int64?, String?)])
    func `is looked at before anything is signed, and what is wrong is not signed over`(
        change: String, rechaining: Int64?, words: String?
    ) async throws {
        let keys = try await filled()
        try await alter(change)
        if let rechaining { try await rechain(from: rechaining) }
        let before = try #require(try folder.number("SELECT count(*) FROM audit_checkpoints"))
        for _ in 0..<2 {
            let store = try folder.open(.existing)
            let finding = await store.verifyAuditAtStart(with: keys).finding
            #expect((finding == nil) == (words == nil), "\(String(describing: finding))")
            if let words {
                let message = try #require(finding?.message)
                #expect(message.contains(words), "\(message)")
            }
            try await store.record(Sample.refusal())
            try await store.makeCheckpoint()
            let report = try await store.verifyAudit(after: nil, records: .max)
            #expect((report.finding == nil) == (words == nil), "\(report)")
            await store.close()
        }
        let after = try folder.number("SELECT count(*) FROM audit_checkpoints")
        #expect(words == nil ? after == before + 2 : after == before)
    }

    @Test func `that cannot be looked at is not signed until it could be, and was as it should be`() async throws {
        let keys = try await filled()
        let store = try folder.open(.existing)
        try await alter("ALTER TABLE audit_checkpoints RENAME COLUMN archived TO later")
        let finding = await store.verifyAuditAtStart(with: keys).finding
        #expect(finding?.message.hasPrefix("the end of the audit trail could not be looked at: ") == true)
        // More than a broker may have left before it was started.
        for _ in 0...CheckpointRhythm.records { try await store.record(Sample.refusal()) }
        try await store.makeCheckpoint()
        #expect(try folder.number("SELECT count(*) FROM audit_checkpoints") == 3)
        try await alter("ALTER TABLE audit_checkpoints RENAME COLUMN later TO archived")
        #expect(try await store.verifyAudit(after: nil, records: .max).finding == finding)
        try await store.makeCheckpoint()
        #expect(try folder.number("SELECT count(*) FROM audit_checkpoints") == 4)
        #expect(try await store.verifyAudit(after: nil, records: .max).finding == nil)
        await store.close()
    }

    @Test func `that could not be looked at, and was altered, is never signed`() async throws {
        let keys = try await filled()
        try await alter("DELETE FROM audit_checkpoints WHERE number = 3")
        let store = try folder.open(.existing)
        try await alter("ALTER TABLE audit_checkpoints RENAME COLUMN archived TO later")
        _ = await store.verifyAuditAtStart(with: keys)
        try await alter("ALTER TABLE audit_checkpoints RENAME COLUMN later TO archived")
        for _ in 0..<2 {
            try await store.record(Sample.refusal())
            try await store.makeCheckpoint()
        }
        await store.close()
        #expect(try folder.number("SELECT count(*) FROM audit_checkpoints") == 2)
    }

    /// Whoever alters it between the look and the first signature.
    @Test func `is signed as it was when it was looked at`() async throws {
        let keys = try await filled()
        var store = try folder.open(.existing)
        for _ in 0..<5 { try await store.record(Sample.refusal()) }
        await store.close()
        store = try folder.open(.existing)
        #expect(await store.verifyAuditAtStart(with: keys).finding == nil)
        try await alter("UPDATE audit SET reason = 'x' WHERE sequence = 33")
        try await rechain(from: 33)
        try await store.makeCheckpoint()
        #expect(try await store.verifyAudit(after: nil, records: .max).finding != nil)
        await store.close()
    }

    @Test(arguments: ["NULL", "'x'", "x'00'"])
    func `a store that does not say which number it gave last is found`(value: String) async throws {
        let keys = try await filled()
        try await alter("UPDATE sqlite_sequence SET seq = \(value) WHERE name = 'audit'")
        let store = try folder.open(.existing)
        let finding = await store.verifyAuditAtStart(with: keys).finding
        #expect(finding?.message == "the store does not say which number it gave to a record last")
        await store.close()
    }

    @Test func `what was signed long after it was recorded is counted for good`() async throws {
        let clock = ManualClock()
        var store = try folder.open(clock: clock)
        func record() async throws {
            let event = AuditEvent(
                time: clock.now, trace: TraceID(at: clock.now), kind: .exchangeRefused, issuer: nil, subject: nil,
                details: [:])
            try await store.record(event)
        }
        let (masterKey, _) = try MasterKey.generate()
        let keys = try await CheckpointKeys.open(in: store, with: masterKey, at: clock.now)
        #expect(await store.verifyAuditAtStart(with: keys).finding == nil)
        for pause in [0, 300, 301, 0] {
            for _ in 0..<2 { try await record() }
            clock.advance(by: .seconds(pause))
            try await store.makeCheckpoint()
        }
        await store.close()
        store = try folder.open(clock: clock)
        // Killed with a record that has no checkpoint, and started long after.
        for _ in 0..<3 { try await record() }
        await store.close()
        clock.advance(by: .seconds(1000))
        store = try folder.open(clock: clock)
        let start = await store.verifyAuditAtStart(with: keys)
        #expect(start.finding == nil && start.unsealed == 3)
        #expect(start.waiting.map { AuditVerification.isLate(clock.now.auditMilliseconds, behind: $0) } == true)
        try await store.makeCheckpoint()
        let report = try await store.verifyAudit(after: nil, records: .max)
        #expect(
            report.finding == nil && report.late == 5 && report.firstLate == 3 && report.waiting == nil, "\(report)")
        #expect(AuditVerification.isLate(.max, behind: .min) && !AuditVerification.isLate(.min, behind: .max))
        await store.close()
    }

    @Test func `a key whose first checkpoint was never made is no finding`() async throws {
        let store = try folder.open()
        try await store.record(Sample.refusal())
        _ = try await StoreConformance.signing(store)
        let keys = try #require(store.commits.trail.keys)
        #expect(await store.verifyAuditAtStart(with: keys).finding == nil)
        await store.close()
    }

    @Test func `the broker that runs misses the last checkpoint, which it made`() async throws {
        let keys = try await filled()
        let store = try folder.open(.existing)
        store.sign(with: keys)
        try await store.record(Sample.refusal())
        try await store.makeCheckpoint()
        #expect(try await store.verifyAudit(after: nil, records: .max).finding == nil)
        try await alter("DELETE FROM audit_checkpoints WHERE number = 4")
        let finding = try await store.verifyAudit(after: nil, records: .max).finding
        #expect(finding?.kind == .checkpoint && finding?.message == "checkpoint 4 is missing, which this broker made")
        await store.close()
    }

    /// Rows that no broker makes, each of which once ended the process.
    @Test(arguments: [
        "INSERT INTO audit (sequence, time, trace, kind, details) VALUES (9223372036854775807, 1, 'a', 'key.staged', '{}')",
        "INSERT INTO audit (sequence, time, trace, kind, details) VALUES (9007199254740992, 1, 'a', 'key.staged', '{}')",
        "INSERT INTO audit (sequence, time, trace, kind, details) VALUES (-5, 1, 'a', 'key.staged', '{}')",
        "UPDATE audit SET hash = x'00' WHERE sequence = 30", "UPDATE audit SET hash = x'' WHERE sequence = 30",
        "UPDATE audit SET hash = NULL WHERE sequence = 30", "UPDATE sqlite_sequence SET seq = 9223372036854775807",
        "UPDATE audit_checkpoints SET number = 9223372036854775807 WHERE number = 3",
        "UPDATE audit_checkpoints SET count = 9223372036854775807 WHERE number = 3",
        "UPDATE audit SET time = -9223372036854775808 WHERE sequence = 30",
        "INSERT INTO audit (sequence, time, trace, kind, details) VALUES (9007199254740991, 1, 'a', 'key.staged', '{}')",
    ])
    func `rows that no broker makes do not end it, and are found`(change: String) async throws {
        let keys = try await filled()
        try await alter(change)
        for _ in 0..<2 {
            let store = try folder.open(.existing)
            store.sign(with: keys)
            try await store.writeAuditFile(folder.path + "/audit.jsonl")
            // One number below the last that there can be: then nothing is recorded, and the reason is said.
            let isFull = change.contains("9007199254740991,")
            do {
                try await store.record(Sample.refusal())
                #expect(!isFull)
            } catch {
                #expect(isFull && error.code == .unreadable, "\(error)")
            }
            _ = try? await store.makeCheckpoint()
            #expect(try await store.verifyAudit(after: nil, records: .max).finding != nil)
            await store.close()
        }
    }
}
