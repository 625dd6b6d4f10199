import Broker
import GRDB
import GRDBSQLite

/// Writes a group of records in one transaction.
struct RecordWriter {
    private let savepoint: Statement
    private let release: Statement
    private let rollBackToSavepoint: Statement
    private let insertSession: Statement
    private let insertEvent: Statement
    private let uses: UseCounter
    private let probe: Statement

    /// Writes and commits the group.
    /// - Returns: for each record what became of it, or why it is missing although the others were committed.
    /// - Throws: what failed all of them. None was recorded.
    static func write(
        _ records: [PendingRecord], _ db: Database
    ) throws -> [Result<UseOutcome, StoreFailure>] {
        if db.isInsideTransaction { try db.rollback() }
        let writer = try RecordWriter(db)
        try db.cachedStatement(sql: "BEGIN IMMEDIATE").execute()
        do {
            let outcomes = try records.map(writer.writeAlone)
            try db.cachedStatement(sql: "COMMIT").execute()
            return outcomes
        } catch {
            // Some errors have rolled it back already.
            if db.isInsideTransaction { try? db.rollback() }
            throw error
        }
    }

    /// Also finds out, at opening, that every table is as expected.
    init(_ db: Database) throws {
        savepoint = try db.cachedStatement(sql: "SAVEPOINT record")
        release = try db.cachedStatement(sql: "RELEASE record")
        rollBackToSavepoint = try db.cachedStatement(sql: "ROLLBACK TO record")
        insertSession = try db.cachedStatement(sql: SessionRow.insertion)
        insertEvent = try db.cachedStatement(sql: AuditRow.insertion)
        uses = try UseCounter(db)
        // Writes the file's first page as it is: a transaction without changes would not reach the disk.
        probe = try db.cachedStatement(sql: "PRAGMA user_version = \(Schema.version)")
    }

    /// - Returns: why the record was left out, where it was at fault itself.
    /// - Throws: what is not the record's fault. SQLite may have rolled back the transaction.
    private func writeAlone(_ record: PendingRecord) throws -> Result<UseOutcome, StoreFailure> {
        try savepoint.run()
        let outcome: UseOutcome
        do {
            outcome = try insert(record)
        } catch let error as DatabaseError where error.isFaultOfRow {
            try rollBackToSavepoint.run()
            try release.run()
            return .failure(StoreFailure("record", reporting: error))
        } catch let failure as StoreFailure {
            try rollBackToSavepoint.run()
            try release.run()
            return .failure(failure)
        }
        try release.run()
        return .success(outcome)
    }

    /// - Returns: `.recorded`, or why nothing was inserted.
    private func insert(_ record: PendingRecord) throws -> UseOutcome {
        switch record {
        case .exchange(let session, let event):
            try insertSession.run(binding: session.bind)
            try insertEvent.run(binding: event.bind)
        case .use(let use, let session, let event):
            switch try uses.count(use, for: session.session) {
            case .first: try insertSession.run(binding: session.bind)
            case .further: break
            case .refused(let outcome): return outcome
            }
            try insertEvent.run(binding: event.bind)
        case .event(let event): try insertEvent.run(binding: event.bind)
        case .probe: try probe.run()
        }
        return .recorded
    }
}

extension DatabaseError {
    /// Whether the values caused it, so that others can be stored all the same. Nothing else may count as that: a full
    /// disk, for one, can end the whole transaction from within an insertion.
    fileprivate var isFaultOfRow: Bool {
        [.SQLITE_CONSTRAINT, .SQLITE_TOOBIG].contains(resultCode)
    }
}
