/// A store whose audit records are indexed after they were made, so that recording does not pay for it.
package protocol IndexedAudit: Sendable {
    /// Indexes the next of the records that are not indexed yet.
    /// - Returns: whether there are more at once.
    func indexAudit() async throws(StoreFailure) -> Bool

    /// Takes out of the index what is no longer recorded.
    func pruneAuditIndex() async throws(StoreFailure)
}
