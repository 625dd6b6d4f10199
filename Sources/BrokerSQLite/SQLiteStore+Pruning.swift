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
        try await perform("delete what was kept long enough") { db in
            if db.isInsideTransaction { try db.rollback() }
            var result = PruningResult(deleted: 0, position: nil)
            try db.inTransaction(.immediate) {
                result = try Self.prune(batch, db)
                return .commit
            }
            return result
        }
    }

    /// Rows are found by their numbers, which ascend in the order of recording: no other index is needed, and recording
    /// pays for none.
    private static func prune(_ batch: PruningBatch, _ db: Database) throws -> PruningResult {
        let oldestUse = try Row.fetchCursor(db, sql: "SELECT expires FROM uses ORDER BY expires LIMIT 1")
            .mapToArray { try $0.date(0) }.first
        let rows = try Row.fetchCursor(
            db.cachedStatement(sql: batch.table.selection), arguments: [batch.position, batch.maximumRows]
        ).mapToArray { (number: $0[0] as Int64, start: try $0.date(1), end: try $0.date(2)) }
        var choice = PruningChoice(batch, oldestUse: oldestUse)
        let deletion = try db.cachedStatement(sql: batch.table.deletion)
        for row in rows {
            guard let isOld = choice.look(at: row.number, start: row.start, end: row.end) else { break }
            if isOld { try deletion.execute(arguments: [row.number]) }
        }
        if let event = choice.event {
            let row = AuditRow(event)
            try db.cachedStatement(sql: AuditRow.insertion).run(binding: row.bind)
        }
        return choice.result
    }
}

extension RetainedTable {
    /// The next rows: number, start and end.
    fileprivate var selection: String {
        switch self {
        case .audit: "SELECT sequence, time, time FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?"
        case .sessions: #"SELECT rowid, start, "end" FROM sessions WHERE rowid > ? ORDER BY rowid LIMIT ?"#
        }
    }

    fileprivate var deletion: String {
        switch self {
        case .audit: "DELETE FROM audit WHERE sequence = ?"
        case .sessions: "DELETE FROM sessions WHERE rowid = ?"
        }
    }
}
