/// An audit event with its place in the record.
package struct AuditRecord: Sendable {
    /// From 1 on, and below 2⁵³. Numbers are never used again, and may be left out.
    package let sequence: Int64
    package let event: AuditEvent
    /// 32 bytes, over the record and the one before it; nil where the record is not chained.
    package let hash: [UInt8]?

    package init(sequence: Int64, event: AuditEvent, hash: [UInt8]? = nil) {
        self.sequence = sequence
        self.event = event
        self.hash = hash
    }
}
