package import FoundationEssentials

/// Which life of a store this is. A store that is restored from a backup forgets what came after it, so it begins a new
/// one: no token of an earlier generation is good in it.
package struct StoreGeneration: Sendable, Hashable {
    /// 1 for a store that was never restored; every restoring counts on.
    package let number: Int
    /// When the backup was made that it was restored from, or, of a backup, when that was made.
    package let backedUp: Date?
    /// Nil for a store that was never restored.
    package let restored: Date?

    package init(number: Int, backedUp: Date? = nil, restored: Date? = nil) {
        self.number = number
        self.backedUp = backedUp
        self.restored = restored
    }
}

/// A store that can begin a new generation.
package protocol RestorableStore: Sendable {
    func generation() async throws(StoreFailure) -> StoreGeneration

    /// Begins `generation`: every signing key there is becomes retired, `keys` are added, and `event` is recorded; all of it
    /// or nothing.
    /// - Throws: `.conflict` where it is not a later generation than that of now.
    func begin(
        _ generation: StoreGeneration, with keys: [SigningKeyRecord], _ event: AuditEvent
    ) async throws(StoreFailure)
}
