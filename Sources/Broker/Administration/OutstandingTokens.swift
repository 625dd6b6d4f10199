package import FoundationEssentials
import Synchronization

/// For how long whoever asks nobody takes a token for good that was revoked: until the last one that is out has expired.
package final class OutstandingTokens: Sendable {
    /// So many audit records are read for those that were minted before the start.
    private static let maximumRecords = 100_000

    private let minted: LatestExpiry
    private let store: any AuditReader
    private let clock: any BrokerClock
    /// When this process began to mint, by the wall clock.
    private let start: Date
    private let restored: Date?
    /// Of tokens that were minted before that; nil before it was looked up.
    private let earlier = Mutex<Date?>(nil)

    /// - Parameters:
    ///   - minted: of the mint of this process.
    ///   - restored: when the store was restored from a backup, which lacks what was granted after it; nil where it never
    ///     was.
    package init(_ minted: LatestExpiry, _ store: any AuditReader, restored: Date? = nil, clock: any BrokerClock) {
        self.minted = minted
        self.restored = restored
        self.store = store
        self.clock = clock
        start = clock.now
    }

    /// When the last token that is out will have expired, or somewhat later; nil where none is out.
    package func latestExpiry() async -> Date? {
        let (now, ofOthers) = (clock.now, await latestBeforeStart())
        let latest = max(minted.date, ofOthers, latestBeforeRestore)
        return latest > now ? latest : nil
    }

    /// What was granted after the backup no record says. Its key is gone, which only those know who fetched the keys since.
    private var latestBeforeRestore: Date {
        restored?.addingTimeInterval(GrantTerms.longestSession.seconds) ?? .distantPast
    }

    private func latestBeforeStart() async -> Date {
        let longest = GrantTerms.longestSession.seconds
        let latest = start.addingTimeInterval(longest)
        guard clock.now < latest else { return .distantPast }
        if let known = earlier.withLock({ $0 }) { return known }
        // What cannot be looked up has the longest life that there is.
        let expiry: Date
        do {
            let found = try await store.latestExpiry(
                grantedAfter: start.addingTimeInterval(-longest), lookingAt: Self.maximumRecords)
            // What is too much to look at now is so the next time.
            expiry = found.map { min($0, latest) } ?? latest
        } catch {
            return latest
        }
        earlier.withLock { $0 = expiry }
        return expiry
    }
}
