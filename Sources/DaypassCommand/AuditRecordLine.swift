import BrokerClient
import FoundationEssentials

/// How a record is shown.
enum AuditRecordLine {
    static let columns: KeyValuePairs = [
        "TIME": "time", "KIND": "kind", "SUBJECT": "subject", "RULE": "rule", "REASON": "reason", "TRACE": "trace",
    ]

    /// A line of its own, which needs no other line to be read: `-` stands for what a record does not have.
    static func print(_ record: JSON, asJSON: Bool) throws {
        guard !asJSON else {
            return Terminal.print(ReadableText.json(String(decoding: try record.encoded(), as: UTF8.self)))
        }
        let cells = columns.map { record.cell($0.value) }
        Terminal.print(cells.map { $0.isEmpty ? "-" : ReadableText.escaped($0) }.joined(separator: "  "))
    }
}
