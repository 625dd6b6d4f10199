package import FoundationEssentials

/// Where what has had its time is deleted, a bounded batch at once: whatever else waits for the store gets its turn
/// between two of them.
package protocol PrunableStore: Sendable {
    /// Forgets uses of subject tokens that had expired a minute before `now`, at most `limit` of them.
    /// - Returns: how many it forgot.
    func forgetUses(expiredAt now: Date, limit: Int) async throws(StoreFailure) -> Int

    /// Forgets sign-ins whose sessions had ended before `now`, with their refresh tokens, at most `limit` rows of both.
    /// - Returns: how many rows it forgot.
    func forgetSignIns(endedBefore now: Date, limit: Int) async throws(StoreFailure) -> Int

    /// Drops what lies sealed of sign-ins whose sessions are dead, also the provider's own token: nothing of it is of use any
    /// more. It looks at the next `limit` of those that have something sealed, in the order in which they were recorded.
    /// - Parameter position: those up to it were looked at already; 0 for none.
    /// - Returns: where the next batch begins; nil where there is nothing more.
    func dropSecrets(
        after position: Int64, limit: Int, where isDead: @escaping @Sendable (SessionRecord) -> Bool
    ) async throws(StoreFailure) -> Int64?

    /// Looks at the next rows of the table in the order in which they were recorded, deletes those that are old enough,
    /// and records that: all of it or nothing.
    ///
    /// It ends at the first row that is not old enough, but passes over those of the future, which a wrong clock made. A
    /// session is not deleted while a use may join it; one that descends from it has ended before it.
    func prune(_ batch: PruningBatch) async throws(StoreFailure) -> PruningResult

    /// Moves the first segments of the audit trail that are old enough to a file, and records that; the chain begins behind
    /// them then. Nothing is moved that does not verify, nor what is not signed yet.
    func archive(_ order: ArchiveOrder) async throws(StoreFailure) -> ArchiveResult

    /// Deletes audit records that were archived, at most `limit` of them.
    /// - Returns: how many it deleted.
    func deleteArchived(limit: Int) async throws(StoreFailure) -> Int
}

/// What is deleted after `audit.retention`. The raw value is how the audit record names it.
package enum RetainedTable: String, Sendable, CaseIterable {
    /// A session is as old as its end.
    case sessions
}

/// Which rows are looked at, and which of them are deleted.
package struct PruningBatch: Sendable {
    package let table: RetainedTable
    /// Rows before it were looked at already; 0 for none.
    package var position: Int64 = 0
    /// At most so many are looked at.
    package let maximumRows: Int
    package let retention: Duration
    /// What is older is deleted.
    package let limit: Date
    package let now: Date
    /// Under which the deletion is recorded.
    package let trace: TraceID

    package init(
        _ table: RetainedTable, after position: Int64 = 0, maximumRows: Int, retention: Duration, at now: Date,
        trace: TraceID
    ) {
        self.table = table
        self.position = position
        self.maximumRows = maximumRows
        self.retention = retention
        limit = now.addingTimeInterval(-retention.seconds)
        self.now = now
        self.trace = trace
    }
}

/// What became of a batch.
package struct PruningResult: Sendable, Hashable {
    package let deleted: Int
    /// Where the next batch begins; nil where there is nothing more that is old enough.
    package let position: Int64?

    package init(deleted: Int, position: Int64?) {
        self.deleted = deleted
        self.position = position
    }
}
