/// Where audit records are chained: see `AuditChain`. Every record of a store is, whoever makes it.
package protocol AuditChainStore: Sendable {
    /// All that ever were, oldest first.
    func checkpointKeys() async throws(StoreFailure) -> [CheckpointKeyRecord]

    /// Makes the key and its audit record durable, both or neither.
    func insert(_ key: CheckpointKeyRecord, _ event: AuditEvent) async throws(StoreFailure)

    /// Has checkpoints signed from now on, with the transaction that records the thousandth record since the last.
    func sign(with keys: CheckpointKeys)

    /// Makes a checkpoint where there are records behind the last one, and keys.
    /// - Returns: the last one there is; nil where there is none.
    @discardableResult
    func makeCheckpoint() async throws(StoreFailure) -> Checkpoint?

    /// Those after `number`, at most `limit`, by their numbers.
    func checkpoints(after number: Int64, limit: Int) async throws(StoreFailure) -> [Checkpoint]

    /// Those that were made behind a record from `first` to `last`, by their numbers.
    func checkpoints(behind records: ClosedRange<Int64>) async throws(StoreFailure) -> [Checkpoint]

    /// Verifies a stretch of the chain as it is at this moment, without holding up who records.
    /// - Parameters:
    ///   - checkpoint: `next` of the stretch before; nil for the first.
    ///   - records: it ends at the first checkpoint behind so many, or at the end of the chain.
    /// - Throws: `.conflict` where there is no such checkpoint, or another verification is under way.
    func verifyAudit(after checkpoint: Int64?, records: Int) async throws(StoreFailure) -> AuditReport

    /// The hashes of the records after `sequence`, at most `limit`, by their numbers.
    func auditMarks(after sequence: Int64, limit: Int) async throws(StoreFailure) -> [AuditMark]
}

/// How often checkpoints are made.
package enum CheckpointRhythm {
    /// Behind so many records at the latest.
    package static let records: Int64 = 1000
    /// So long after a record at the latest.
    package static let interval: Duration = .seconds(60)
    /// In milliseconds: what is signed later after its record was without a checkpoint for longer than `interval` explains.
    package static let latest: Int64 = 300_000
}
