package import FoundationEssentials
package import Logging

/// Takes out of the store what has had its time: uses of subject tokens that expired, and what `audit.retention` no
/// longer wants kept: sessions are deleted, audit records moved to files. What lies sealed of sign-ins that were revoked is
/// dropped. Nothing else is deleted while the wall clock is not to be believed.
package struct StorePruning: Sendable {
    /// How often `round` is meant to be called.
    package static let interval: Duration = .seconds(60)
    /// Records of deletions are records too: with more of them the audit record would fill with itself.
    static let retentionInterval: Duration = .seconds(3600)
    static let batch = 500
    /// An exchange has the store for so many times as long as pruning.
    static let restPerWork = 3

    private let store: any PrunableStore
    private let clock: any BrokerClock
    private let retention: Duration
    private let archive: String
    private let revocations: @Sendable () -> RevocationSet
    private let logger: Logger
    private var agreement: ClockAgreement
    private var isJumped = false
    private var retainedAt: Duration?
    /// The highest revocation when all sign-ins were last looked at.
    private var looked: UInt64 = 0

    /// - Parameters:
    ///   - archive: the folder that audit records are moved to.
    ///   - revocations: those of the moment.
    ///   - lastRecord: when the last audit record was made before the start; nil where there is none.
    package init(
        _ store: any PrunableStore, retention: Duration, archive: String,
        revocations: @escaping @Sendable () -> RevocationSet = { .none }, lastRecord: Date? = nil,
        clock: any BrokerClock, logger: Logger
    ) {
        self.store = store
        self.clock = clock
        self.retention = retention
        self.archive = archive
        self.revocations = revocations
        self.logger = logger
        agreement = ClockAgreement(clock, lastRecord: lastRecord)
        if let ahead = agreement.aheadAtStart {
            logger.warning(
                "the wall clock is more than a day ahead of the last audit record: nothing is deleted for a day",
                metadata: ["seconds": "\(Int(ahead.seconds))"])
        }
    }

    /// Deletes all that is due. Ends early when its task is cancelled, or the clock jumps; the next round goes on.
    package mutating func round() async {
        // No time decides about it.
        await dropSecrets()
        guard believedTime() != nil else { return }
        await forgetUses()
        await forgetSignIns()
        guard retainedAt.map({ clock.uptime - $0 >= Self.retentionInterval }) ?? true, !Task.isCancelled else {
            return
        }
        if await applyRetention() { retainedAt = clock.uptime }
    }

    private mutating func forgetUses() async {
        do {
            while let now = believedTime() {
                let start = clock.uptime
                let count = try await store.forgetUses(expiredAt: now, limit: Self.batch)
                guard count == Self.batch, !Task.isCancelled else { return }
                await rest(since: start)
            }
        } catch {
            // The store says by itself that it does not work; the next round tries again.
            logger.warning("could not forget uses of subject tokens", metadata: ["failure": "\(error)"])
        }
    }

    private mutating func forgetSignIns() async {
        do {
            while let now = believedTime(), !Task.isCancelled {
                let start = clock.uptime
                let count = try await store.forgetSignIns(endedBefore: now, limit: Self.batch)
                guard count == Self.batch, !Task.isCancelled else { return }
                await rest(since: start)
            }
        } catch {
            logger.warning("could not forget sign-ins that have ended", metadata: ["failure": "\(error)"])
        }
    }

    /// Where anything was revoked since the last time.
    private mutating func dropSecrets() async {
        let revoked = revocations()
        guard revoked.highest != looked else { return }
        do {
            var position: Int64? = 0
            while let next = position, !Task.isCancelled {
                let start = clock.uptime
                position = try await store.dropSecrets(after: next, limit: Self.batch) { revoked.kills($0) != nil }
                if position != nil { await rest(since: start) }
            }
            if position == nil { looked = revoked.highest }
        } catch {
            logger.warning("could not drop secrets of sign-ins that were revoked", metadata: ["failure": "\(error)"])
        }
    }

    /// - Returns: whether it got to its end.
    private mutating func applyRetention() async -> Bool {
        let trace = TraceID(at: clock.now)
        var deleted: [RetainedTable: Int] = [:]
        var (archived, isDone): (Int64, Bool) = (0, false)
        do {
            // Sessions first: the record of a deletion is never among what is archived right after it.
            isDone = try await prune(under: trace, &deleted)
            if isDone { isDone = try await archiveRecords(under: trace, &archived) }
        } catch {
            isDone = false
            logger.warning("could not take out what was kept long enough", metadata: ["failure": "\(error)"])
        }
        if archived > 0 || deleted.values.contains(where: { $0 > 0 }) {
            var metadata: Logger.Metadata = [
                "retention_seconds": "\(Int(retention.seconds))", "trace": "\(trace)", "archived": "\(archived)",
            ]
            for table in RetainedTable.allCases { metadata[table.rawValue] = "\(deleted[table] ?? 0)" }
            logger.notice("took out what was kept long enough", metadata: metadata)
        }
        return isDone
    }

    /// - Returns: whether it got to its end.
    private mutating func archiveRecords(
        under trace: TraceID, _ archived: inout Int64
    ) async throws(StoreFailure) -> Bool {
        while true {
            // Also what an earlier round left.
            repeat {
                guard !Task.isCancelled else { return false }
                let start = clock.uptime
                let count = try await store.deleteArchived(limit: Self.batch)
                guard count == Self.batch else { break }
                await rest(since: start)
            } while true
            guard let now = believedTime(), !Task.isCancelled else { return false }
            let start = clock.uptime
            let result = try await store.archive(
                ArchiveOrder(to: archive, retention: retention, at: now, trace: trace))
            guard let file = result.file else { return true }
            archived += result.records
            logger.notice(
                "audit records were archived",
                metadata: ["file": "\(file)", "records": "\(result.records)", "trace": "\(trace)"])
            await rest(since: start)
        }
    }

    private mutating func prune(
        under trace: TraceID, _ deleted: inout [RetainedTable: Int]
    ) async throws(StoreFailure) -> Bool {
        for table in RetainedTable.allCases {
            var position: Int64? = 0
            while let next = position {
                guard let now = believedTime(), !Task.isCancelled else { return false }
                let start = clock.uptime
                let batch = PruningBatch(
                    table, after: next, maximumRows: Self.batch, retention: retention, at: now, trace: trace)
                let result = try await store.prune(batch)
                deleted[table, default: 0] += result.deleted
                position = result.position
                if position != nil { await rest(since: start) }
            }
        }
        return true
    }

    private func rest(since start: Duration) async {
        let pause = (clock.uptime - start) * Self.restPerWork
        if pause > .zero { try? await Task.sleep(for: pause) } else { await Task.yield() }
    }

    /// The time to delete by, read anew for each batch.
    private mutating func believedTime() -> Date? {
        switch agreement.reading(of: clock) {
        case .believed(let now):
            if isJumped { logger.notice("the wall clock is believed again") }
            isJumped = false
            return now
        case .started: return nil
        case .jumped(let duration):
            if !isJumped {
                logger.error(
                    "the wall clock jumped: nothing is deleted until it is back, or has kept its new time for a day",
                    metadata: ["seconds": "\(Int(duration.seconds))"])
            }
            isJumped = true
            return nil
        }
    }
}
