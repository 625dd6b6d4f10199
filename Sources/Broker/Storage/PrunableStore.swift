package import FoundationEssentials
import JOSE

/// Where what has had its time is deleted, a bounded batch at once: whatever else waits for the store gets its turn
/// between two of them.
package protocol PrunableStore: Sendable {
    /// Forgets uses of subject tokens that had expired a minute before `now`, at most `limit` of them.
    /// - Returns: how many it forgot.
    func forgetUses(expiredAt now: Date, limit: Int) async throws(StoreFailure) -> Int

    /// Looks at the next rows of the table in the order in which they were recorded, deletes those that are old enough,
    /// and records that: all of it or nothing.
    ///
    /// It ends at the first row that is not old enough, but passes over those of the future, which a wrong clock made. A
    /// session is not deleted while a use may join it; one that descends from it has ended before it.
    func prune(_ batch: PruningBatch) async throws(StoreFailure) -> PruningResult
}

/// What `audit.retention` is about. The raw value is how the audit record names it.
package enum RetainedTable: String, Sendable, CaseIterable {
    /// A record is as old as its time.
    case audit
    /// A session is as old as its end.
    case sessions
}

/// Which rows are looked at, and which of them are deleted.
package struct PruningBatch: Sendable {
    package let table: RetainedTable
    /// Rows before it were looked at already; 0 for none.
    package var position: Int64 = 0
    /// At most so many are looked at.
    package let maximumRows: Int
    package let retention: Duration
    /// What is older is deleted.
    package let limit: Date
    package let now: Date
    /// Under which the deletion is recorded.
    package let trace: TraceID

    package init(
        _ table: RetainedTable, after position: Int64 = 0, maximumRows: Int, retention: Duration, at now: Date,
        trace: TraceID
    ) {
        self.table = table
        self.position = position
        self.maximumRows = maximumRows
        self.retention = retention
        limit = now.addingTimeInterval(-retention.seconds)
        self.now = now
        self.trace = trace
    }
}

/// What became of a batch.
package struct PruningResult: Sendable, Hashable {
    package let deleted: Int
    /// Where the next batch begins; nil where there is nothing more that is old enough.
    package let position: Int64?

    package init(deleted: Int, position: Int64?) {
        self.deleted = deleted
        self.position = position
    }
}

/// The choice of a batch's rows, made one row after the other; the same for every store.
package struct PruningChoice: Sendable {
    private let batch: PruningBatch
    private let oldestUse: Date?
    private var looked = 0
    private var isAtEnd = false
    private var position: Int64
    private var first: RowMark?
    private var last: RowMark?
    private var count = 0

    /// A row, and the time by which it is known.
    private struct RowMark {
        let number: Int64
        let time: Date
    }

    /// - Parameter oldestUse: when the first of the uses that are remembered may be forgotten; nil where there is none.
    package init(_ batch: PruningBatch, oldestUse: Date?) {
        self.batch = batch
        self.oldestUse = oldestUse
        position = batch.position
    }

    /// A session that a use may join began then or later.
    private var joinableSince: Date {
        oldestUse?.addingTimeInterval(-SubjectTokenUse.longestMemory.seconds) ?? .distantFuture
    }

    /// - Parameters:
    ///   - number: greater than that of every row before.
    ///   - start: when it was recorded, or its session began.
    ///   - end: since when it counts as old.
    /// - Returns: whether it is to be deleted, or nil where neither it nor any row after it is.
    package mutating func look(at number: Int64, start: Date, end: Date) -> Bool? {
        guard !isAtEnd else { return nil }
        let isOld = end < batch.limit && (batch.table == .audit || start < joinableSince)
        guard isOld || start > batch.now else {
            isAtEnd = true
            return nil
        }
        looked += 1
        position = number
        guard isOld else { return false }
        let mark = RowMark(number: number, time: start)
        first = first ?? mark
        last = mark
        count += 1
        return true
    }

    package var result: PruningResult {
        PruningResult(deleted: count, position: isAtEnd || looked < batch.maximumRows ? nil : position)
    }

    /// The record of the deletion; nil where nothing is deleted.
    package var event: AuditEvent? {
        guard let first, let last else { return nil }
        let json = { (mark: RowMark) -> JSONValue in
            ["number": .number(Double(mark.number)), "time": .number(mark.time.timeIntervalSince1970)]
        }
        return AuditEvent(
            time: batch.now, trace: batch.trace, kind: .recordsDeleted, issuer: nil, subject: nil,
            details: [
                "table": .string(ExactString(batch.table.rawValue)), "count": .number(Double(count)),
                "first": json(first), "last": json(last),
                "older_than": .number(batch.limit.timeIntervalSince1970),
                "retention": .number(batch.retention.seconds),
            ])
    }
}
