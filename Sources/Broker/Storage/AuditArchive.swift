package import FoundationEssentials
import JOSE

/// Which audit records are to be moved to a file: whole segments of the chain, each of which ends in a checkpoint.
package struct ArchiveOrder: Sendable {
    /// So many records are moved at once, and what is left of the segment in which that many are reached.
    package static let records = 20_000

    /// The folder; made where it is missing.
    package let folder: String
    package let retention: Duration
    /// A record is old where it was made before it.
    package let limit: Date
    package let now: Date
    /// Under which the archiving is recorded.
    package let trace: TraceID
    package let maximumRecords: Int

    package init(
        to folder: String, retention: Duration, at now: Date, trace: TraceID, maximumRecords: Int = records
    ) {
        self.folder = folder
        self.retention = retention
        limit = now.addingTimeInterval(-retention.seconds)
        self.now = now
        self.trace = trace
        self.maximumRecords = maximumRecords
    }

    /// Whether a record of that time may go. One of the future does not hold up what stands behind it: a clock was wrong.
    package func permits(_ time: Date) -> Bool {
        time < limit || time > now
    }

    /// The record that the records up to `checkpoint` were moved.
    package func event(
        _ checkpoint: Checkpoint, _ signature: CheckpointSignature, count: Int64, first: Int64, file: String,
        digest: [UInt8]
    ) -> AuditEvent {
        AuditEvent(
            time: now, trace: trace, kind: .recordsArchived, issuer: nil, subject: nil,
            details: [
                "table": "audit", "count": .number(Double(count)), "first": .number(Double(first)),
                "last": .number(Double(checkpoint.sequence)), "checkpoint": .number(Double(checkpoint.number)),
                "hash": .string(ExactString(Base64URL.encode(checkpoint.hash))), "file": .string(ExactString(file)),
                "sha256": .string(ExactString(Base64URL.encode(digest))),
                "older_than": .number(limit.timeIntervalSince1970), "retention": .number(retention.seconds),
                "key": .string(signature.keyID), "signature": .string(ExactString(Base64URL.encode(signature.bytes))),
            ])
    }
}

/// What was moved.
package struct ArchiveResult: Sendable, Hashable {
    package let records: Int64
    /// The path of the file; nil where nothing was moved.
    package let file: String?

    package init(records: Int64 = 0, file: String? = nil) {
        self.records = records
        self.file = file
    }
}
