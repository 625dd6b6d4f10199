package import Broker
package import FoundationEssentials
import GRDB

extension SQLiteStore: PrunableStore {
    /// A request that began before its token expired may be recorded so long afterwards, and has to be counted still.
    private static let useMargin: TimeInterval = 60

    package func forgetUses(expiredAt now: Date, limit: Int) async throws(StoreFailure) -> Int {
        try await perform("forget uses of subject tokens") { db in
            try db.execute(
                sql: """
                    DELETE FROM uses WHERE (expires, token, joining) IN (
                        SELECT expires, token, joining FROM uses WHERE expires < ? ORDER BY expires LIMIT ?)
                    """, arguments: [now.addingTimeInterval(-Self.useMargin).milliseconds, limit])
            return db.changesCount
        }
    }

    package func prune(_ batch: PruningBatch) async throws(StoreFailure) -> PruningResult {
        try await write("delete what was kept long enough", needingFile: false) { db, audit in
            try Self.prune(batch, db, audit)
        }
    }

    package func archive(_ order: ArchiveOrder) async throws(StoreFailure) -> ArchiveResult {
        let trail = commits.trail
        let keys = trail.keys
        if let finding = trail.finding {
            throw StoreFailure(
                .unreadable, "archive audit records", cause: "the audit trail is not intact: \(finding.message)")
        }
        let written = try await reading.performAlone("archive audit records") { db in
            try AuditArchiving.write(db, order, keys: keys)
        }
        guard let keys, let part = written else { return ArchiveResult() }
        let signature = try Self.signature(part.ends, keys)
        let row = AuditRow(
            order.event(
                part.ends, signature, count: part.count, first: part.first, file: part.file, digest: part.digest))
        return try await write("archive audit records", needingFile: false) { db, audit in
            let begins = try ArchiveMark.begins(db, keys)
            let ends = try Checkpoint.fetch(
                db, "SELECT \(Checkpoint.columns) FROM audit_checkpoints WHERE number = ?", [part.ends.number])
            guard begins == part.begins, ends == [part.ends] else {
                throw StoreFailure(.conflict, "archive audit records", cause: "the audit trail is not what it was")
            }
            if let mirrored = trail.mirrored,
                mirrored.record < part.ends.sequence || mirrored.checkpoint < part.ends.number
            {
                throw StoreFailure(.unavailable, "archive audit records", cause: "audit.file does not have them yet")
            }
            try audit.append(row)
            try db.execute(
                sql: "DELETE FROM audit_checkpoints WHERE number < ?", arguments: [part.ends.number])
            try db.execute(
                sql: "UPDATE audit_checkpoints SET archived = ? WHERE number = ?",
                arguments: [audit.tail.sequence, part.ends.number])
            return ArchiveResult(records: part.count, file: part.file)
        }
    }

    private static func signature(
        _ checkpoint: Checkpoint, _ keys: CheckpointKeys
    ) throws(StoreFailure) -> CheckpointSignature {
        do {
            return try keys.signature(saying: .archived, of: checkpoint)
        } catch {
            throw StoreFailure(.unavailable, "archive audit records", cause: "\(error)")
        }
    }

    package func deleteArchived(limit: Int) async throws(StoreFailure) -> Int {
        let keys = commits.trail.keys
        return try await write("delete archived audit records", needingFile: false) { db, _ in
            guard let begins = try ArchiveMark.begins(db, keys) else { return 0 }
            try db.execute(
                sql: """
                    DELETE FROM audit WHERE sequence IN (
                        SELECT sequence FROM audit WHERE sequence <= ? ORDER BY sequence LIMIT ?)
                    """, arguments: [begins.sequence, limit])
            return db.changesCount
        }
    }

    /// Rows are found by their numbers, which ascend in the order of recording: no other index is needed, and recording
    /// pays for none.
    private static func prune(
        _ batch: PruningBatch, _ db: Database, _ audit: AuditAppender
    ) throws -> PruningResult {
        let oldestUse = try Row.fetchCursor(db, sql: "SELECT expires FROM uses ORDER BY expires LIMIT 1")
            .mapToArray { try $0.date(0) }.first
        let rows = try Row.fetchCursor(
            db.cachedStatement(sql: batch.table.selection), arguments: [batch.position, batch.maximumRows]
        ).mapToArray { (number: try $0.integer(0), start: try $0.date(1), end: try $0.date(2)) }
        var choice = PruningChoice(batch, oldestUse: oldestUse)
        let deletion = try db.cachedStatement(sql: batch.table.deletion)
        for row in rows {
            guard let isOld = choice.look(at: row.number, start: row.start, end: row.end) else { break }
            if isOld { try deletion.execute(arguments: [row.number]) }
        }
        if let event = choice.event { try audit.append(AuditRow(event)) }
        return choice.result
    }
}

extension RetainedTable {
    /// The next rows: number, start and end.
    fileprivate var selection: String {
        switch self {
        case .sessions: #"SELECT rowid, start, "end" FROM sessions WHERE rowid > ? ORDER BY rowid LIMIT ?"#
        }
    }

    fileprivate var deletion: String {
        switch self {
        case .sessions: "DELETE FROM sessions WHERE rowid = ?"
        }
    }
}
