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
            store.sign(with: keys)
            let finding = try await store.verifyAuditAtStart().finding
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

    @Test func `a key whose first checkpoint was never made is no finding`() async throws {
        let store = try folder.open()
        try await store.record(Sample.refusal())
        _ = try await StoreConformance.signing(store)
        #expect(try await store.verifyAuditAtStart().finding == nil)
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
