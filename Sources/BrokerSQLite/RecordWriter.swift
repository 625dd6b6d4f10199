import Broker
import GRDB
import GRDBSQLite

/// Writes a group of records in one transaction.
struct RecordWriter {
    private let savepoint: Statement
    private let release: Statement
    private let rollBackToSavepoint: Statement
    private let insertSession: Statement
    private let uses: UseCounter
    private let signIns: SignInWriter
    private let insertRevocation: Statement
    private let raiseNumber: Statement
    private let probe: Statement
    private let audit: AuditAppender
    private let db: Database

    /// Writes and commits the group.
    /// - Parameter revocations: those of the moment, asked before each grant and once more before the commit.
    /// - Returns: for each record what became of it, or why it is missing although the others were committed.
    /// - Throws: what failed all of them. None was recorded.
    static func write(
        _ records: [PendingRecord], _ db: Database, _ trail: AuditTrail,
        revocations: @Sendable () -> RevocationSet = { .none }
    ) throws -> [Result<UseOutcome, StoreFailure>] {
        if db.isInsideTransaction { try db.rollback() }
        // Each turn but the last finds a further one of the records revoked.
        while true {
            try db.cachedStatement(sql: "BEGIN IMMEDIATE").execute()
            do {
                let audit = try trail.appender(db)
                if let refusal = audit.tail.refusal, !records.allSatisfy(\.isRevocation) { throw refusal }
                let writer = try RecordWriter(db, audit)
                let known = revocations()
                let outcomes = try records.map { try writer.writeAlone($0, known) }
                try writer.raiseNumber(to: records)
                let latest = revocations()
                if latest.highest != known.highest, Self.isRevoked(records, outcomes, by: latest) {
                    try db.rollback()
                    continue
                }
                try db.cachedStatement(sql: "COMMIT").execute()
                trail.committed(audit)
                return outcomes
            } catch {
                // Some errors have rolled it back already.
                if db.isInsideTransaction { try? db.rollback() }
                throw error
            }
        }
    }

    private static func isRevoked(
        _ records: [PendingRecord], _ outcomes: [Result<UseOutcome, StoreFailure>], by revocations: RevocationSet
    ) -> Bool {
        zip(records, outcomes).contains { record, outcome in
            guard case .success(.recorded) = outcome, let session = record.granted else { return false }
            return revocations.kills(session) != nil
        }
    }

    /// Also finds out, at opening, that every table is as expected.
    init(_ db: Database, _ audit: AuditAppender) throws {
        self.audit = audit
        savepoint = try db.cachedStatement(sql: "SAVEPOINT record")
        release = try db.cachedStatement(sql: "RELEASE record")
        rollBackToSavepoint = try db.cachedStatement(sql: "ROLLBACK TO record")
        insertSession = try db.cachedStatement(sql: SessionRow.insertion)
        uses = try UseCounter(db)
        signIns = try SignInWriter(db)
        insertRevocation = try db.cachedStatement(sql: RevocationRow.insertion)
        raiseNumber = try db.cachedStatement(
            sql: "UPDATE revocation_number SET highest = ?1 WHERE highest < ?1")
        self.db = db
        // Writes the file's first page as it is: a transaction without changes would not reach the disk.
        probe = try db.cachedStatement(sql: "PRAGMA user_version = \(Schema.version)")
    }

    /// - Returns: why the record was left out, where it was at fault itself.
    /// - Throws: what is not the record's fault. SQLite may have rolled back the transaction.
    private func writeAlone(
        _ record: PendingRecord, _ revocations: RevocationSet
    ) throws -> Result<UseOutcome, StoreFailure> {
        if let session = record.granted, revocations.kills(session) != nil { return .success(.revoked) }
        try savepoint.run()
        let tail = audit.tail
        let outcome: UseOutcome
        do {
            outcome = try insert(record)
        } catch let error as DatabaseError where error.isFaultOfRow {
            try takeBack(to: tail)
            return .failure(StoreFailure("record", reporting: error))
        } catch let failure as StoreFailure {
            try takeBack(to: tail)
            return .failure(failure)
        }
        try release.run()
        try audit.sealIfDue()
        return .success(outcome)
    }

    private func takeBack(to tail: AuditTail) throws {
        try rollBackToSavepoint.run()
        try release.run()
        audit.reset(to: tail)
    }

    /// - Returns: `.recorded`, or why nothing was inserted.
    private func insert(_ record: PendingRecord) throws -> UseOutcome {
        switch record {
        case .exchange(let session, let event):
            try insertSession.run(binding: session.bind)
            try audit.append(event)
        case .signIn(let session, let signIn, let event):
            try insertSession.run(binding: session.bind)
            try signIns.insert(signIn)
            try audit.append(event)
        case .rotation(_, let signIn, let event):
            try signIns.rotate(signIn)
            try audit.append(event)
        case .use(let use, let session, let event):
            switch try uses.count(use, for: session.session) {
            case .first: try insertSession.run(binding: session.bind)
            case .further: break
            case .refused(let outcome): return outcome
            }
            try audit.append(event)
        case .renewal(_, let event), .event(let event): try audit.append(event)
        case .revocations(let rows):
            for row in rows {
                try insertRevocation.run(binding: row.bind)
                // What seemed to fail may have been committed.
                if db.changesCount > 0 { try audit.appendIfPossible(row.event) }
            }
        case .probe: try probe.run()
        }
        return .recorded
    }

    private func raiseNumber(to records: [PendingRecord]) throws {
        var highest: UInt64 = 0
        for record in records {
            if let session = record.granted { highest = max(highest, session.revision) }
            if case .revocations(let rows) = record {
                for row in rows { highest = max(highest, row.revocation.sequence) }
            }
        }
        guard highest > 0 else { return }
        try raiseNumber.run { $0.integer(Int64(highest)) }
    }
}

extension DatabaseError {
    /// Whether the values caused it, so that others can be stored all the same. Nothing else may count as that: a full
    /// disk, for one, can end the whole transaction from within an insertion.
    fileprivate var isFaultOfRow: Bool {
        [.SQLITE_CONSTRAINT, .SQLITE_TOOBIG].contains(resultCode)
    }
}
