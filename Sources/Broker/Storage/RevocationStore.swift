/// Where revocations are kept.
package protocol RevocationStore: Sendable {
    /// Makes them durable, each with its audit record, all or none. One whose number is there already is left as it is,
    /// with no second audit record: what failed may have been kept after all.
    ///
    /// They go before everything else that waits, have no bound in common with it, and may use what is kept in reserve.
    func record(_ revocations: [RecordedRevocation]) async throws(StoreFailure)

    /// All that are kept, by ascending number.
    func revocations() async throws(StoreFailure) -> [Revocation]

    /// The highest number that a revocation or a session was recorded with, deleted ones included.
    func highestRevocation() async throws(StoreFailure) -> UInt64

    /// Takes the blocks from those with these numbers, with an audit record of it, all or nothing. What they kill stays
    /// dead. A number that is not kept, or does not block, is passed over.
    func lift(blocksOf sequences: [UInt64], _ event: AuditEvent) async throws(StoreFailure)

    /// Deletes those with these numbers.
    func delete(revocations: [UInt64]) async throws(StoreFailure)
}

/// A revocation, and that it was made.
package struct RecordedRevocation: Sendable {
    package let revocation: Revocation
    package let event: AuditEvent

    package init(_ revocation: Revocation, _ event: AuditEvent) {
        self.revocation = revocation
        self.event = event
    }
}
