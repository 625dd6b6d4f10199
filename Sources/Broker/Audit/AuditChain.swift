// The chain of audit records: each record's hash covers all of the record and the hash of the one before it. Whoever alters,
// removes, adds or moves a record has to write every hash behind it anew, and then those no longer lead to the checkpoints,
// which are signed with a key that is not in the store.
package import FoundationEssentials
import JOSE
import OpenSSL

/// The hashes of audit records, one after the other. For one thread at a time.
package final class AuditChain {
    /// What stands before the first record in the place of its predecessor's hash.
    package static let start = [UInt8](repeating: 0, count: 32)

    private static let domain = bytes(of: "daypass-audit-record-v1")
    private let digest = DigestContext(.sha256)
    /// The domain, the hash before and the sequence: of the same length for every record.
    private var head: [UInt8] = []

    package init() {}

    /// SHA-256 over the domain behind its length, the hash before, the sequence (8 bytes, the most significant first) and
    /// the columns: see `AuditColumns`. No two records have one encoding.
    /// - Parameter previous: 32 bytes.
    package func hash(after previous: [UInt8], sequence: Int64, _ columns: [UInt8]) -> [UInt8] {
        precondition(previous.count == Self.start.count)
        head.removeAll(keepingCapacity: true)
        head.append(contentsOf: Self.domain)
        head.append(contentsOf: previous)
        head.append(bigEndian: sequence)
        let head = head
        return digest.digest(head.span, columns.span)
    }

    private static func bytes(of domain: String) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(counted: domain)
        return bytes
    }
}

/// All columns of a record but its number and its hash, as the chain covers them: the time in milliseconds since 1970 (8
/// bytes, the most significant first), then trace, kind, issuer, subject, rule, session, token, reason and details, each as
/// its bytes behind their number (4 bytes), or, where it is NULL, four bytes 0xFF.
package struct AuditColumns: Sendable {
    package private(set) var bytes: [UInt8] = []

    /// - Parameter capacity: in bytes; how long they will be about.
    package init(time: Int64, capacity: Int = 512) {
        bytes.reserveCapacity(capacity)
        bytes.append(bigEndian: time)
    }

    /// Those of `event`.
    /// - Parameter details: its details, encoded.
    package init(_ event: AuditEvent, details: [UInt8]) {
        self.init(time: event.time.auditMilliseconds, capacity: 320 + details.count)
        append(event.trace.description)
        append(event.kind.rawValue)
        append(event.issuer?.text.string)
        append(event.subject?.string)
        append(event.rule?.string)
        append(event.sessionID?.string)
        append(event.tokenID?.string)
        append(event.reason)
        append(details.span)
    }

    /// Begins anew, in the room that is there.
    package mutating func reset(time: Int64) {
        bytes.removeAll(keepingCapacity: true)
        bytes.append(bigEndian: time)
    }

    private mutating func append(_ text: String?) {
        guard let text else { return appendNull() }
        bytes.append(counted: text)
    }

    package mutating func append(_ text: Span<UInt8>) {
        bytes.append(bigEndian: UInt32(text.count))
        unsafe text.withUnsafeBufferPointer { unsafe bytes.append(contentsOf: $0) }
    }

    package mutating func appendNull() {
        bytes.append(bigEndian: UInt32.max)
    }
}

extension Date {
    /// Since 1970, rounded; the nearest that fits where it is out of range.
    package var auditMilliseconds: Int64 {
        let value = (timeIntervalSince1970 * 1000).rounded()
        return Int64(exactly: value) ?? (value > 0 ? .max : .min)
    }
}

extension [UInt8] {
    mutating func append(bigEndian number: some FixedWidthInteger) {
        var rest = number.bigEndian
        unsafe Swift.withUnsafeBytes(of: &rest) { unsafe append(contentsOf: $0) }
    }

    /// Text behind the number of its bytes.
    mutating func append(counted text: String) {
        var text = text
        text.withUTF8 {
            append(bigEndian: UInt32($0.count))
            unsafe append(contentsOf: $0)
        }
    }
}
