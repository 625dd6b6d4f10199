package import Broker
import FoundationEssentials
import GRDB
import JOSE

extension SQLiteStore: AuditSearch {
    /// So many numbers of records are looked at in one go.
    private static let scanStep: Int64 = 20_000
    /// And so many in one call, in the order of recording.
    private static let scanBound: Int64 = 200_000
    /// So many segments are looked at in one go.
    private static let segmentStep = 128

    package func auditRecords(
        _ condition: AuditCondition, before sequence: Int64?, limit: Int
    ) async throws(StoreFailure) -> AuditPart {
        if let trace = condition.trace {
            return try await auditRecords(of: trace, condition, before: sequence, limit: limit)
        }
        // One more than is asked for says whether there is a next part.
        var found = FoundRecords(limit: limit + 1)
        var position = sequence ?? .max
        while position > 1, !found.isFull {
            let (before, room) = (position, found)
            (found, position) = try await reading.perform("search audit records") { db -> (FoundRecords, Int64) in
                var found = room
                let next = try Self.step(condition, before: before, &found, db)
                return (found, next)
            }
        }
        return found.part(limit)
    }

    package func auditRecords(
        _ condition: AuditCondition, after sequence: Int64, limit: Int
    ) async throws(StoreFailure) -> AuditPart {
        let (first, last) = try await reading.perform("search audit records") { db -> (Int64, Int64) in
            // Two questions: together SQLite would answer them by looking at every row.
            let first = try RecordNumbers.first(after: sequence, db) ?? 1
            return (first, try RecordNumbers.last(db) ?? 0)
        }
        var found = FoundRecords(limit: limit)
        var position = max(sequence, first - 1)
        guard position < last else { return AuditPart([], position: position, isLast: true) }
        let end = min(last, position + Self.scanBound)
        while position < end, !found.isFull {
            let (after, room) = (position, found)
            (found, position) = try await reading.perform("search audit records") { db -> (FoundRecords, Int64) in
                var found = room
                let stop = min(after + Self.scanStep, last)
                let rows = try Self.rows(condition, from: after + 1, through: stop, "ASC", db)
                while let row = try rows.next() {
                    found.append(try AuditRecord(row))
                    if found.isFull { return (found, found.records.last?.sequence ?? stop) }
                }
                return (found, stop)
            }
        }
        return AuditPart(found.records, position: position, isLast: position >= last)
    }

    /// They are few, and have an index of their own: that of the store.
    private func auditRecords(
        of trace: TraceID, _ condition: AuditCondition, before sequence: Int64?, limit: Int
    ) async throws(StoreFailure) -> AuditPart {
        let records = try await reading.perform("search audit records") { db -> [AuditRecord] in
            let rows = try Row.fetchCursor(
                db.cachedStatement(
                    sql: """
                        SELECT \(AuditRow.columns) FROM audit WHERE trace = ? AND sequence < ?
                        ORDER BY sequence DESC LIMIT \(Self.scanStep)
                        """), arguments: [trace.description, sequence ?? .max])
            return try rows.mapToArray(AuditRecord.init).filter { condition.matches($0.event) }
        }
        var found = FoundRecords(limit: limit + 1)
        for record in records where !found.isFull { found.append(record) }
        return found.part(limit)
    }

    /// Looks at the records before `position` that no segment has yet, or at the next segments before it.
    /// - Returns: the position to go on from; 0 at the end.
    private static func step(
        _ condition: AuditCondition, before position: Int64, _ found: inout FoundRecords, _ db: Database
    ) throws -> Int64 {
        let indexed = try lastIndexed(db)
        if position > indexed + 1 {
            // Over numbers that no record has, however many.
            guard let last = try RecordNumbers.last(before: position, db) else { return 0 }
            guard last > indexed else { return indexed + 1 }
            let start = max(indexed + 1, last - scanStep + 1)
            try append(to: &found, condition, from: start, through: last, db)
            return start <= 1 ? 0 : start
        }
        let keys = condition.keys
        let field = keys.first?.field ?? .kind
        let segments = try Row.fetchCursor(
            db.cachedStatement(
                sql: """
                    SELECT id, last, earliest, latest\(keys.isEmpty ? "" : ", entries") FROM audit_index
                    WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT \(segmentStep)
                    """),
            arguments: [AuditSegment.number(field, 0), AuditSegment.number(field, position)])
        var (next, count) = (Int64(0), 0)
        while let segment = try segments.next() {
            let first = AuditSegment.first(ofRow: try segment.integer(0))
            (next, count) = (first, count + 1)
            let last = min(try segment.integer(1), position - 1)
            guard try condition.mayHave(times: segment.integer(2), segment.integer(3)) else { continue }
            if keys.isEmpty {
                try append(to: &found, condition, from: first, through: last, db)
            } else {
                let candidates = try candidates(keys, first, segment.bytes(4) ?? [], db)
                for sequence in candidates.reversed() where sequence <= last && !found.isFull {
                    guard let record = try record(sequence, db), condition.matches(record.event) else { continue }
                    found.append(record)
                }
            }
            if found.isFull { return found.records.last?.sequence ?? first }
        }
        return count < segmentStep ? 0 : next
    }

    /// The numbers of the records that may have all values, ascending.
    private static func candidates(
        _ keys: [(field: AuditField, hash: UInt32)], _ first: Int64, _ entries: [UInt8], _ db: Database
    ) throws -> [Int64] {
        var distances = AuditSegment.distances(of: keys[0].hash, in: entries)
        for key in keys.dropFirst() where !distances.isEmpty {
            let row = try Row.fetchOne(
                db.cachedStatement(sql: "SELECT entries FROM audit_index WHERE id = ?"),
                arguments: [AuditSegment.number(key.field, first)])
            let others = Set(AuditSegment.distances(of: key.hash, in: row?.bytes(0) ?? []))
            distances = distances.filter(others.contains)
        }
        return distances.map { first + Int64($0) }
    }

    private static func record(_ sequence: Int64, _ db: Database) throws -> AuditRecord? {
        // By a cursor: a row that is copied has its texts up to the first NUL.
        try Row.fetchCursor(
            db.cachedStatement(sql: "SELECT \(AuditRow.columns) FROM audit WHERE sequence = ?"), arguments: [sequence]
        ).mapToArray(AuditRecord.init).first
    }

    private static func append(
        to found: inout FoundRecords, _ condition: AuditCondition, from first: Int64, through last: Int64,
        _ db: Database
    ) throws {
        let rows = try rows(condition, from: first, through: last, "DESC", db)
        while !found.isFull, let row = try rows.next() { found.append(try AuditRecord(row)) }
    }

    /// Records of a range that meet the condition.
    private static func rows(
        _ condition: AuditCondition, from first: Int64, through last: Int64, _ order: String, _ db: Database
    ) throws -> RowCursor {
        let terms = condition.terms
        let sql = """
            SELECT \(AuditRow.columns) FROM audit WHERE sequence >= ? AND sequence <= ?\
            \(terms.map { " AND \($0.sql)" }.joined()) ORDER BY sequence \(order)
            """
        let range: StatementArguments = [first, last]
        return try Row.fetchCursor(
            db.cachedStatement(sql: sql), arguments: range + StatementArguments(terms.map(\.argument)))
    }

    /// The last record that a segment has; 0 where there is none.
    static func lastIndexed(_ db: Database) throws -> Int64 {
        let last = try Int64.fetchOne(
            db.cachedStatement(sql: "SELECT last FROM audit_index WHERE id < ? ORDER BY id DESC LIMIT 1"),
            arguments: [AuditSegment.number(.subject, 0)])
        return (0...AuditSegment.maximumNumber).clamped(last ?? 0)
    }
}

/// What a search has found so far.
private struct FoundRecords: Sendable {
    let limit: Int
    private(set) var records: [AuditRecord] = []
    private var length = 0

    init(limit: Int) {
        self.limit = limit
    }

    var isFull: Bool { records.count >= limit || length >= AuditPart.maximumLength }

    /// All of them, or where there are more than `limit`, so many.
    func part(_ limit: Int) -> AuditPart {
        let part = records.prefix(limit)
        return AuditPart(Array(part), position: part.last?.sequence ?? 0, isLast: !isFull)
    }

    mutating func append(_ record: AuditRecord) {
        records.append(record)
        length += record.event.details.roughLength
    }
}

extension JSONObject {
    /// In bytes; what stands between values is not counted.
    fileprivate var roughLength: Int {
        members.reduce(2) { $0 + $1.name.utf8.count + Self.roughLength($1.value) + 4 }
    }

    private static func roughLength(_ value: JSONValue) -> Int {
        switch value {
        case .string(let text): text.utf8.count
        case .array(let elements): elements.reduce(2) { $0 + roughLength($1) + 1 }
        case .object(let object): object.roughLength
        default: 8
        }
    }
}

extension AuditCondition {
    /// What SQLite compares, byte for byte.
    fileprivate var terms: [(sql: String, argument: DatabaseValue)] {
        var terms: [(String, DatabaseValue)] = []
        let texts: [(String, ExactString?)] = [
            ("subject", subject), ("rule", rule), ("session", session), ("token", token),
            ("kind", kind.map { ExactString($0.rawValue) }), ("trace", trace.map { ExactString($0.description) }),
        ]
        for case (let column, let value?) in texts {
            terms.append(("CAST(\(column) AS BLOB) = ?", Data(value.utf8).databaseValue))
        }
        if let since { terms.append(("time >= ?", since.milliseconds.databaseValue)) }
        if let until { terms.append(("time < ?", until.milliseconds.databaseValue)) }
        return terms
    }

    fileprivate func mayHave(times earliest: Int64, _ latest: Int64) -> Bool {
        (since.map { $0.milliseconds <= latest } ?? true) && (until.map { $0.milliseconds > earliest } ?? true)
    }
}
