import Broker
import FoundationEssentials
import GRDB
import GRDBSQLite
import JOSE

/// Reads the chain, in one moment of it: see `ReadConnection.performAlone`.
enum AuditReading {
    static let selection = """
        SELECT sequence, time, trace, kind, issuer, subject, rule, session, token, reason, details, hash FROM audit \
        WHERE sequence > ? ORDER BY sequence
        """
    static let hashColumn: CInt = 11
    /// The columns of text in `selection`.
    static let texts: ClosedRange<CInt> = 2...10

    /// A stretch of the chain: see `AuditChainStore.verifyAudit`.
    static func verify(
        _ db: Database, after number: Int64?, records limit: Int, keys: CheckpointKeys?,
        remembering tail: AuditTail?
    ) throws -> AuditReport {
        var start: Checkpoint?
        if let number {
            start =
                try Checkpoint.fetch(
                    db, "SELECT \(Checkpoint.columns) FROM audit_checkpoints WHERE number = ?", [number]
                ).first
            guard start != nil else {
                throw StoreFailure(
                    .conflict, "verify the audit trail", cause: "there is no checkpoint \(number) any more: begin anew")
            }
        } else {
            start = try archived(db)?.checkpoint
        }
        if let start {
            guard keys?.didSign(start) == true else {
                return AuditReport(
                    AuditFinding(
                        .checkpoint, start.sequence,
                        "checkpoint \(start.number) is not signed by a checkpoint key of this store"))
            }
            if number == nil, let finding = try ArchiveMark.finding(start, keys, db) { return AuditReport(finding) }
        }
        if number == nil, let finding = try leastNumbers(db) { return AuditReport(finding) }
        var verification = AuditVerification(
            after: start, keys: keys, remembering: tail?.mark, made: tail?.lastCheckpoint)
        return try verify(db, after: start, limit, &verification)
    }

    /// Nil where no record and no checkpoint stands in front of the first that a broker makes.
    private static func leastNumbers(_ db: Database) throws -> AuditFinding? {
        if let least = try Int64.fetchOne(db, sql: "SELECT min(sequence) FROM audit"), least < 1 {
            return AuditFinding(.altered, least, "record \(least) has a number that no broker gives")
        }
        if let least = try Int64.fetchOne(db, sql: "SELECT min(number) FROM audit_checkpoints"), least < 1 {
            return AuditFinding(.checkpoint, 1, "checkpoint \(least) has a number that no broker gives")
        }
        return nil
    }

    /// What stands behind the last checkpoint but one, before a broker that was just started signs anything.
    /// - Parameters:
    ///   - tail: what the process found, or made since: what is signed next follows it.
    ///   - own: how many records the process may have made.
    static func verifyAtStart(
        _ db: Database, keys: CheckpointKeys, remembering tail: AuditTail, own: Int64
    ) throws -> AuditReport {
        if let finding = try leastNumbers(db) { return AuditReport(finding) }
        let begins = try archived(db)?.checkpoint
        if let begins {
            guard keys.didSign(begins) else {
                return AuditReport(
                    AuditFinding(
                        .checkpoint, begins.sequence,
                        "checkpoint \(begins.number) is not signed by a checkpoint key of this store"))
            }
            if let finding = try ArchiveMark.finding(begins, keys, db) { return AuditReport(finding) }
        }
        let last = try Checkpoint.fetch(
            db, "SELECT \(Checkpoint.columns) FROM audit_checkpoints ORDER BY number DESC LIMIT 2")
        // Where there are not two behind the beginning, from there.
        let start = last.count == 2 && last[1].number >= begins?.number ?? 0 ? last[1] : begins
        guard start.map({ keys.didSign($0) }) ?? true else {
            return AuditReport(
                AuditFinding(
                    .checkpoint, start?.sequence ?? 0,
                    "the last checkpoint but one is not signed by a key of this store"))
        }
        var verification = AuditVerification(
            after: start, keys: keys, remembering: tail.hasHash ? tail.mark : nil, made: tail.lastCheckpoint)
        let report = try verify(db, after: start, .max, &verification)
        let isNew = try lastKind(db) == AuditEvent.Kind.checkpointKeyMade.rawValue && last.isEmpty
        let unsealed = isNew ? nil : verification.checkUnsealed(own: own)
        return report.with(unsealed).with(try LastCheckpoint.finding(keys, db))
    }

    private static func lastKind(_ db: Database) throws -> String? {
        try String.fetchOne(db, sql: "SELECT kind FROM audit ORDER BY sequence DESC LIMIT 1")
    }

    private static func verify(
        _ db: Database, after start: Checkpoint?, _ limit: Int, _ verification: inout AuditVerification
    ) throws -> AuditReport {
        var checkpoints = try CheckpointCursor(db, after: start?.number ?? 0)
        var columns = AuditColumns(time: 0)
        var (finding, next, checked): (AuditFinding?, Int64?, Int) = (nil, nil, 0)
        var reached = start?.sequence ?? 0
        let statement = try db.makeStatement(sql: selection)
        func check(_ row: RawRow) throws -> Bool {
            let sequence = row.integer(0)
            reached = sequence
            while let checkpoint = checkpoints.first, checkpoint.sequence < sequence {
                finding = verification.check(checkpoint)
                guard finding == nil else { return false }
                try checkpoints.advance()
            }
            columns.read(row)
            finding = row.withBytes(hashColumn) { verification.check(sequence, hash: $0, columns.bytes) }
            guard finding == nil else { return false }
            checked += 1
            guard let checkpoint = checkpoints.first, checkpoint.sequence == sequence else { return true }
            finding = verification.check(checkpoint)
            guard finding == nil else { return false }
            try checkpoints.advance()
            guard checked >= limit else { return true }
            next = checkpoint.number
            return false
        }
        do {
            try statement.rows(binding: { $0.integer(start?.sequence ?? 0) }, check)
        } catch let error as DatabaseError where error.resultCode == .SQLITE_TOOBIG {
            let sequence = try RecordNumbers.first(after: reached, db) ?? reached
            finding = AuditFinding(
                .altered, sequence,
                "record \(sequence) is longer than any that a broker makes: it was altered or put in")
        }
        if finding == nil, next == nil {
            while finding == nil, let checkpoint = checkpoints.first {
                finding = verification.check(checkpoint)
                try checkpoints.advance()
            }
            let given = try AuditTail.given(db)
            finding = finding ?? verification.checkEnd(given: given)
            if finding == nil, given == nil, let last = try AuditTail.lastRecord(db) {
                finding = AuditFinding(
                    .altered, last.sequence, "the store does not say which number it gave to a record last")
            }
        }
        return verification.report(finding, next: next)
    }

    /// The checkpoint that the chain begins behind, and the record that says so; nil where it begins at its beginning.
    static func archived(_ db: Database) throws -> (checkpoint: Checkpoint, record: Int64)? {
        let sql = """
            SELECT \(Checkpoint.columns), archived FROM audit_checkpoints WHERE archived IS NOT NULL \
            ORDER BY number DESC LIMIT 1
            """
        let rows: [(checkpoint: Checkpoint, record: Int64)] = try Row.fetchCursor(db, sql: sql).mapToArray { row in
            guard case .int64(let record) = (row[9] as DatabaseValue).storage else {
                throw StoreFailure(.unreadable, "read a checkpoint", cause: "a checkpoint has an unknown form")
            }
            return (checkpoint: Checkpoint(row), record: record)
        }
        return rows.first
    }

    static func marks(_ db: Database, after sequence: Int64, limit: Int) throws -> [AuditMark] {
        var marks: [AuditMark] = []
        let begins = try archived(db)?.checkpoint
        if let begins, begins.sequence > sequence {
            marks.append(AuditMark(sequence: begins.sequence, hash: begins.hash))
        }
        let statement = try db.makeStatement(
            sql: "SELECT sequence, hash FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?")
        let bind = { (binder: inout Binder) in
            binder.integer(max(sequence, begins?.sequence ?? 0))
            binder.integer(Int64(limit - marks.count))
        }
        try statement.rows(binding: bind) { row in
            marks.append(AuditMark(sequence: row.integer(0), hash: row.bytes(1) ?? []))
            return true
        }
        return marks
    }
}

extension AuditColumns {
    /// Those of a row of `AuditReading.selection`.
    mutating func read(_ row: RawRow) {
        reset(time: row.integer(1))
        for column in AuditReading.texts {
            row.withBytes(column) { bytes in
                if let bytes { append(bytes) } else { appendNull() }
            }
        }
    }
}

/// Checkpoints one after the other, some at once: there are as many as there are thousands of records.
struct CheckpointCursor {
    private static let batch = 500
    private let db: Database
    private var rest: ArraySlice<Checkpoint> = []
    private var last: Int64

    var first: Checkpoint? { rest.first }

    init(_ db: Database, after number: Int64) throws {
        self.db = db
        last = number
        try fill()
    }

    mutating func advance() throws {
        rest = rest.dropFirst()
        if rest.isEmpty { try fill() }
    }

    private mutating func fill() throws {
        rest = try Checkpoint.fetch(
            db, "SELECT \(Checkpoint.columns) FROM audit_checkpoints WHERE number > ? ORDER BY number LIMIT ?",
            [last, Self.batch])[...]
        last = rest.last?.number ?? last
    }
}

/// The record that the beginning of the chain was archived.
enum ArchiveMark {
    /// The checkpoint that the chain begins behind; nil where it begins at its beginning.
    /// - Throws: `.unreadable` where no broker made it its beginning: nothing in front of it may be deleted.
    static func begins(_ db: Database, _ keys: CheckpointKeys?) throws -> Checkpoint? {
        guard let begins = try AuditReading.archived(db)?.checkpoint else { return nil }
        guard keys?.didSign(begins) == true, try finding(begins, keys, db) == nil else {
            throw StoreFailure(
                .unreadable, "archive audit records",
                cause: "the audit trail is not intact: no signed record says that its beginning was archived")
        }
        return begins
    }

    /// What is wrong with a chain that begins behind `checkpoint`; nil where the record of the archiving is there and was
    /// signed. That it stands where it was recorded, the rest of the verification shows.
    /// - Parameter checkpoint: one whose signature is good.
    static func finding(_ checkpoint: Checkpoint, _ keys: CheckpointKeys?, _ db: Database) throws -> AuditFinding? {
        guard let record = try AuditReading.archived(db)?.record else { return nil }
        var isRecorded = false
        let statement = try db.makeStatement(sql: "SELECT kind, details FROM audit WHERE sequence = ? AND sequence > ?")
        let bind = { (binder: inout Binder) in
            binder.integer(record)
            binder.integer(checkpoint.sequence)
        }
        try statement.rows(binding: bind) { row in
            let details = row.bytes(1).flatMap { try? JSONReader.readObject($0, depth: AuditLine.detailsDepth) }
            isRecorded =
                row.bytes(0).map { Array(AuditEvent.Kind.recordsArchived.rawValue.utf8) == $0 } == true
                && details?["checkpoint"]?.number == Double(checkpoint.number)
                && details?["hash"]?.string == ExactString(Base64URL.encode(checkpoint.hash))
                && details.flatMap({ CheckpointSignature($0) }).map {
                    keys?.didSay(.archived, of: checkpoint, $0) == true
                } == true
            return false
        }
        guard !isRecorded else { return nil }
        return AuditFinding(
            .missing, 1,
            "the records up to \(checkpoint.sequence) are not there, and no signed record says that they were archived")
    }
}
