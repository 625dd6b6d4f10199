package import Broker
import FoundationEssentials
import GRDB
import GRDBSQLite

extension SQLiteStore: IndexedAudit {
    /// So many segments are made in one transaction.
    private static let segmentsAtOnce = 16

    package func indexAudit() async throws(StoreFailure) -> Bool {
        // What is on the disk meanwhile is kept for revocations.
        guard await check() == nil else { return false }
        let segments = try await reading.perform("index audit records", Self.segments)
        guard !segments.isEmpty else { return false }
        try await writeUnrecorded("index audit records") { db in
            let insertion = try db.cachedStatement(
                sql:
                    "INSERT OR IGNORE INTO audit_index (id, last, earliest, latest, entries) VALUES (?, ?, ?, ?, ?)"
            )
            for segment in segments {
                for field in AuditField.allCases {
                    try insertion.run { binder in
                        binder.integer(AuditSegment.number(field, segment.first))
                        binder.integer(segment.last)
                        binder.integer(segment.earliest)
                        binder.integer(segment.latest)
                        binder.blob(segment.encoded(field))
                    }
                }
            }
        }
        return segments.count == Self.segmentsAtOnce
    }

    package func pruneAuditIndex() async throws(StoreFailure) {
        let isOld = try await reading.perform("prune the index of audit records") { db in
            try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM audit_index WHERE \(Self.isOld))") ?? false
        }
        guard isOld else { return }
        try await perform("prune the index of audit records") { db in
            if db.isInsideTransaction { try db.rollback() }
            try db.execute(sql: "DELETE FROM audit_index WHERE \(Self.isOld)")
        }
    }

    /// None of its records is there any more.
    private static let isOld =
        "last < (SELECT coalesce(min(sequence), (SELECT max(seq) + 1 FROM sqlite_sequence WHERE name = 'audit')) FROM audit)"

    /// Those that are due: the last records are few, and are looked at one by one.
    ///
    /// By SQLite itself: exchanges share their processor with it, and reading a row by GRDB costs ten times as much.
    private static func segments(_ db: Database) throws -> [AuditSegment] {
        let statement = try db.cachedStatement(
            sql: "SELECT \(AuditRow.indexed) FROM audit WHERE sequence > ? AND sequence <= ? ORDER BY sequence LIMIT ?"
        ).sqliteStatement
        defer { sqlite3_reset(statement) }
        var binder = Binder(statement)
        binder.integer(try lastIndexed(db))
        binder.integer(AuditSegment.maximumNumber)
        binder.integer(Int64(segmentsAtOnce * AuditSegment.length))
        var (segments, current): ([AuditSegment], AuditSegment?) = ([], nil)
        var code = sqlite3_step(statement)
        while code == SQLITE_ROW {
            let (sequence, time) = (sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1))
            let hash = { (field: AuditField) -> UInt32? in
                guard sqlite3_column_type(statement, field.column) != SQLITE_NULL else { return nil }
                let start = sqlite3_column_blob(statement, field.column)
                let count = Int(sqlite3_column_bytes(statement, field.column))
                return AuditSegment.hash(UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : count))
            }
            if current?.append(sequence, time, hash) != true {
                if let current { segments.append(current) }
                var next = AuditSegment(first: sequence, time: time)
                _ = next.append(sequence, time, hash)
                current = next
            }
            code = sqlite3_step(statement)
        }
        guard code == SQLITE_DONE else { throw DatabaseError(resultCode: ResultCode(rawValue: code)) }
        // One with a gap behind it is as complete as one that is full.
        if let current, current.count == AuditSegment.length { segments.append(current) }
        return Array(segments.prefix(segmentsAtOnce))
    }
}

extension AuditRow {
    /// As `AuditField.column` counts them, behind the number and the time.
    fileprivate static let indexed = "sequence, time, kind, subject, rule, session, token"
}
