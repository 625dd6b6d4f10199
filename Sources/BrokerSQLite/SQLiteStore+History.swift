package import Broker
import FoundationEssentials
import GRDB

extension SQLiteStore: ExchangeHistory {
    /// So many rows are read in one go: the write-ahead log cannot begin anew meanwhile.
    private static let historyStep: Int64 = 5000
    /// Records bear the time at which their request began, and clocks are set: earlier ones may stand behind later ones.
    private static let historySlack: TimeInterval = 600

    package func exchanges<State: Sendable>(
        _ part: HistoryPart, into state: State, _ body: @escaping @Sendable (inout State, AuditEvent) -> Bool
    ) async throws(StoreFailure) -> (state: State, next: HistoryPosition?) {
        try await reading.performAlone("read recorded exchanges", atOnce: false) { [path] db in
            // Another one may have been put there.
            try Schema.recognise(db, path, .existing)
            return try Self.exchanges(part, db, into: state, body)
        }
    }

    private static func exchanges<State>(
        _ part: HistoryPart, _ db: Database, into state: State, _ body: (inout State, AuditEvent) -> Bool
    ) throws -> (state: State, next: HistoryPosition?) {
        guard let start = try part.position ?? begin(part, db) else { return (state, nil) }
        var state = state
        let numbers = 0...AuditMark.numbers.upperBound
        let last = numbers.clamped(start.last)
        // Over numbers that no record has, however many.
        guard let first = try RecordNumbers.first(after: numbers.clamped(start.done), db) else { return (state, nil) }
        var done = first - 1
        let end = last - done > Int64(part.limit) ? done + Int64(part.limit) : last
        while done < end {
            let stop = done + min(historyStep, end - done)
            let (isInterrupted, reached) = try step(after: done, to: stop, of: part, db) { body(&state, $0) }
            done = reached
            if isInterrupted { break }
        }
        return (state, done < last ? HistoryPosition(done: done, last: last) : nil)
    }

    /// - Returns: whether `body` wanted no more, and the last record that it was given, or `stop`.
    private static func step(
        after done: Int64, to stop: Int64, of part: HistoryPart, _ db: Database, _ body: (AuditEvent) -> Bool
    ) throws -> (isInterrupted: Bool, reached: Int64) {
        let rows = try Row.fetchCursor(
            db.cachedStatement(sql: selection),
            arguments: [done, stop, part.since.milliseconds, part.until?.milliseconds ?? .max])
        while let row = try rows.next() {
            let record = try AuditRecord(row)
            if !body(record.event) { return (true, record.sequence) }
        }
        return (false, stop)
    }

    private static let selection = """
        SELECT \(AuditRow.columns) FROM audit WHERE sequence > ? AND sequence <= ? AND time >= ? AND time < ? \
        AND kind IN ('\(AuditEvent.Kind.exchangeGranted.rawValue)', '\(AuditEvent.Kind.exchangeRefused.rawValue)') \
        ORDER BY sequence
        """

    /// Where the records of the part begin: found by halves, since they ascend by time but for a little.
    private static func begin(_ part: HistoryPart, _ db: Database) throws -> HistoryPosition? {
        guard let first = try RecordNumbers.first(after: 0, db), let last = try RecordNumbers.last(db) else {
            return nil
        }
        let since = part.since.addingTimeInterval(-historySlack).milliseconds
        let statement = try db.cachedStatement(
            sql: "SELECT time FROM audit WHERE sequence >= ? ORDER BY sequence LIMIT 1")
        var (low, high) = (first, last + 1)
        while low < high {
            let middle = low + (high - low) / 2
            let time = try Int64.fetchOne(statement, arguments: [middle]) ?? .max
            if time < since { low = middle + 1 } else { high = middle }
        }
        return HistoryPosition(done: low - 1, last: last)
    }
}
