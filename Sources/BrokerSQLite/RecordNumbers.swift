import Broker
import GRDB

/// The numbers of audit records that are there. Of those alone that a broker gives: whoever could write the file may have
/// put in any other, and no sum of these overflows.
enum RecordNumbers {
    /// The least above `number`; nil where there is none.
    static func first(after number: Int64, _ db: Database) throws -> Int64? {
        try Int64.fetchOne(
            db.cachedStatement(
                sql: "SELECT sequence FROM audit WHERE sequence > ? AND sequence <= ? ORDER BY sequence LIMIT 1"),
            arguments: [max(number, 0), AuditMark.numbers.upperBound])
    }

    /// The highest below `number`; nil where there is none.
    static func last(before number: Int64 = .max, _ db: Database) throws -> Int64? {
        try Int64.fetchOne(
            db.cachedStatement(
                sql: "SELECT sequence FROM audit WHERE sequence < ? AND sequence >= 1 ORDER BY sequence DESC LIMIT 1"),
            arguments: [min(number, AuditMark.numbers.upperBound + 1)])
    }
}

extension ClosedRange {
    /// The value in the range that is nearest to `value`.
    func clamped(_ value: Bound) -> Bound { Swift.min(Swift.max(value, lowerBound), upperBound) }
}
