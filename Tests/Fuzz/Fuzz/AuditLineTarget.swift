import Broker

/// Lines of audit records: one that is read is written, and then read, as the same.
enum AuditLineTarget: FuzzTarget {
    static func run(_ input: [UInt8]) {
        guard let record = try? AuditLine.parse(input) else { return }
        let line = AuditLine.encode(record)
        precondition(!line.contains { $0 < 0x20 }, "a line has a control character")
        guard let again = try? AuditLine.parse(line) else { preconditionFailure("a line of ours is refused") }
        precondition(AuditLine.encode(again) == line, "a line is another")
        precondition(again.sequence == record.sequence && again.hash == record.hash)
    }
}
