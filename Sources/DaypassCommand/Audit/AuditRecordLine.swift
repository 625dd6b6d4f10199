import BrokerClient
import FoundationEssentials

/// How a record is shown.
enum AuditRecordLine {
    static let columns: KeyValuePairs = [
        "TIME": "time", "KIND": "kind", "SUBJECT": "subject", "RULE": "rule", "REASON": "reason", "TRACE": "trace",
    ]

    /// What each column shows. A record about a provider's credential has no subject: it is of that version.
    static func cells(_ record: JSON) -> [String] {
        columns.map { column in
            let cell = record.cell(column.value)
            guard cell.isEmpty, column.value == "subject", let details = record["details"],
                let version = details.list("versions").last
            else { return cell }
            return "\(details.cell("provider")) version \(version.cell("version"))"
        }
    }

    /// A line of its own, which needs no other line to be read: `-` stands for what a record does not have.
    static func print(_ record: JSON, asJSON: Bool) throws {
        guard !asJSON else {
            return Terminal.print(ReadableText.json(String(decoding: try record.encoded(), as: UTF8.self)))
        }
        Terminal.print(cells(record).map { $0.isEmpty ? "-" : ReadableText.escaped($0) }.joined(separator: "  "))
    }
}
