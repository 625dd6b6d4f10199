import Broker
import FoundationEssentials
import JOSE

extension AuditLine {
    private static let names: [StaticString] = [
        ",\"trace\":", ",\"kind\":", ",\"issuer\":", ",\"subject\":", ",\"rule\":", ",\"session\":", ",\"token\":",
        ",\"reason\":", ",\"details\":",
    ]

    /// Appends the line of a record, with the line break: the same as `encode`, from the columns as they are stored.
    /// - Parameter hash: as it is stored; nil where there is none.
    static func append(_ sequence: Int64, _ columns: AuditColumns, hash: [UInt8]?, to output: inout [UInt8]) {
        func text(_ bytes: StaticString) {
            bytes.withUTF8Buffer { output.append(contentsOf: $0) }
        }
        var rest = columns.bytes[...]
        func number(_ count: Int) -> UInt64 {
            let number = rest.prefix(count).reduce(0) { $0 << 8 | UInt64($1) }
            rest = rest.dropFirst(count)
            return number
        }
        text("{\"sequence\":")
        output.append(contentsOf: String(sequence).utf8)
        text(",\"time\":\"")
        RecordedTime(Date(milliseconds: Int64(bitPattern: number(8)))).append(to: &output)
        text("\"")
        for (index, name) in names.enumerated() {
            let length = number(4)
            let isDetails = index == names.count - 1
            guard length != UInt32.max else {
                if isDetails { text(",\"details\":null") }
                continue
            }
            let value = rest.prefix(Int(length))
            rest = rest.dropFirst(Int(length))
            text(name)
            // Ours have no control characters, and somebody else's do not begin a line of his own.
            if isDetails, !value.contains(where: { $0 < 0x20 }) {
                output.append(contentsOf: value)
            } else {
                JSONValue.encode(String(decoding: value, as: UTF8.self), into: &output)
            }
        }
        if let hash {
            text(",\"hash\":\"")
            Base64URL.encode(hash, into: &output)
            text("\"")
        }
        text("}\n")
    }
}
