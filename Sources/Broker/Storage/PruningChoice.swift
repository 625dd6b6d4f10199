package import FoundationEssentials
import JOSE

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
        let isOld = end < batch.limit && start < joinableSince
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
