import Broker
import Dispatch
import FoundationEssentials
import GRDB
import Logging
import Synchronization

/// Makes the records of concurrent callers durable in common transactions: a disk syncs a few thousand times a second,
/// and there are more exchanges than that.
///
/// Callers suspend in a bounded array. The connection's serial queue takes all that wait, writes them in one
/// transaction and resumes them once it is committed; meanwhile the next group gathers.
final class GroupCommit: Sendable {
    static let closed = "the store is closed"
    /// So often at most an outage is tried out by `check`.
    private static let probeInterval = Duration.seconds(1)

    /// Why nothing else is recorded while the reserve is drawn on.
    static let reserved = "the disk is full: what room is left is kept for revocations"

    private let writer: DatabaseQueue
    private let reserve: DiskReserve
    private let waitingBound: Int
    let logger: Logger
    private let clock: any BrokerClock
    private let metrics: StoreMetrics
    /// The end of the chain, which every transaction with an audit record goes on from.
    let trail: AuditTrail
    private let state = Mutex(State())

    init(
        writer: DatabaseQueue, reserve: DiskReserve, waitingBound: Int, logger: Logger, clock: any BrokerClock,
        metrics: StoreMetrics
    ) {
        self.metrics = metrics
        trail = AuditTrail(clock: clock) { count in
            logger.error(
                "stored without an audit record, since none can be made: `daypass audit verify` says why",
                metadata: ["revocations": "\(count)"])
        } onForeignRecord: { ours, found in
            metrics.foreignRecord()
            logger.error(
                "the audit trail was changed by somebody else: `daypass audit verify` says where",
                metadata: ["recorded_last": "\(ours)", "found_last": "\(found)"])
        }
        self.writer = writer
        self.reserve = reserve
        self.waitingBound = waitingBound
        self.logger = logger
        self.clock = clock
    }

    /// Has those asked, from now on, before anything is granted.
    func ask(_ revocations: @escaping @Sendable () -> RevocationSet) {
        state.withLock { $0.revocations = revocations }
    }

    /// Makes the record durable before it returns.
    /// - Throws: `.conflict` where the record itself was at fault, otherwise `.unavailable`. Nothing of it is recorded.
    @discardableResult
    func commit(_ record: PendingRecord) async throws(StoreFailure) -> UseOutcome {
        let outcome = await withCheckedContinuation { continuation in
            enqueue(Waiting(record: record, continuation: continuation))
        }
        return try outcome.get()
    }

    /// See `SQLiteStore.check`.
    func check() async -> StoreOutage? {
        let (outage, isDue) = state.withLock { $0.outageToProbe(at: clock.uptime, interval: Self.probeInterval) }
        guard isDue else { return outage }
        _ = try? await commit(.probe)
        return state.withLock { $0.outage }
    }

    /// Refuses what comes from now on, and returns when what waits is finished and the connection closed.
    /// - Returns: false, at once, where it was called before.
    func close() async -> Bool {
        guard state.withLock({ $0.close() }) else { return false }
        await withCheckedContinuation { continuation in
            writer.asyncWriteWithoutTransaction { [self] db in
                drain(db)
                seal(db)
                // After a failure the log stays as it is, and is read when the file is opened next.
                _ = try? db.checkpoint(.truncate)
                continuation.resume()
            }
        }
        await withCheckedContinuation { continuation in
            // The connection's own queue cannot wait for itself.
            DispatchQueue.global().async { [writer] in
                try? writer.close()
                continuation.resume()
            }
        }
        return true
    }

    var isClosed: Bool { state.withLock { $0.isClosed } }
    var waitingCount: Int { state.withLock { $0.waiting.count } }
    /// How many transactions were committed.
    var transactionCount: Int { state.withLock { $0.transactionCount } }

    /// The last checkpoint before the end.
    private func seal(_ db: Database) {
        guard trail.keys != nil else { return }
        do {
            try write(db, needingFile: false) { try $0.sealIfDue(atOnce: true) }
        } catch {
            logger.warning(
                "no last checkpoint could be made",
                metadata: ["failure": "\(StoreFailure("make a checkpoint", reporting: error))"])
        }
    }

    /// What `body` returns, run in a transaction of its own. What was committed is done, also where the file of `audit.file`
    /// fails behind it: `check` says so then.
    /// - Parameter needingFile: whether nothing is done while that file cannot be written.
    func write<Value>(
        _ db: Database, needingFile: Bool, _ body: (AuditAppender) throws -> Value
    ) throws -> Value {
        if needingFile, let failure = mirror(db) {
            noteFailure(failure)
            throw failure
        }
        let value = try trail.write(db, body)
        if let failure = mirror(db) { noteFailure(failure) }
        return value
    }

    private func enqueue(_ waiting: Waiting) {
        switch state.withLock({ $0.admit(waiting, bound: waitingBound) }) {
        case .queued(let count): metrics.waiting(count)
        case .first: scheduleDrain()
        case .refused(let cause):
            metrics.refusedRecord()
            waiting.continuation.resume(returning: .failure(StoreFailure(.unavailable, "record", cause: cause)))
        }
    }

    private func scheduleDrain() {
        writer.asyncWriteWithoutTransaction { [self] db in
            drain(db)
            // Not a loop: whatever else waits for the connection gets its turn between two groups.
            if state.withLock({ $0.continueDraining() }) { scheduleDrain() }
        }
    }

    private func drain(_ db: Database) {
        let group = state.withLock { $0.takeWaiting() }
        guard !group.isEmpty else { return }
        metrics.waiting(0)
        // Not in one transaction with others: what fails those must not fail these, and they may use the reserve.
        write(group.filter(\.record.isRevocation), db) { [reserve] in reserve.draw() }
        let others = group.filter { !$0.record.isRevocation }
        guard !others.isEmpty else { return }
        guard reserve.restore() else {
            return refuse(others, StoreFailure(.unavailable, "record", cause: Self.reserved))
        }
        // Where the file of `audit.file` fails nothing is granted, nor recorded as granted.
        if let failure = mirror(db) { return refuse(others, failure) }
        write(others, db) { false }
    }

    private func refuse(_ group: [Waiting], _ failure: StoreFailure) {
        noteFailure(failure)
        for waiting in group { waiting.continuation.resume(returning: .failure(failure)) }
    }

    /// Writes what was committed to the file of `audit.file`.
    private func mirror(_ db: Database) -> StoreFailure? {
        do {
            try trail.mirror(db)
            return nil
        } catch {
            return error
        }
    }

    /// - Parameter makeRoom: called where it failed for want of room, maybe; whether to try again.
    private func write(_ group: [Waiting], _ db: Database, makeRoom: () -> Bool) {
        guard !group.isEmpty else { return }
        let start = clock.uptime
        do {
            let outcomes = try written(group, db, makeRoom: makeRoom)
            metrics.committed(records: group.count, took: clock.uptime - start)
            let failure = mirror(db)
            // Also where revocations went through: nothing else does.
            if let failure = failure ?? trail.tail?.refusal { noteFailure(failure) } else { noteSuccess() }
            for (index, waiting) in group.enumerated() {
                // A revocation is durable; anything else that is not in the file is not let out.
                let isRefused = failure != nil && !waiting.record.isRevocation
                waiting.continuation.resume(returning: isRefused ? outcomes[index].refused(failure) : outcomes[index])
            }
        } catch {
            // Whatever it was, no record of the group is to blame for it.
            let failure = StoreFailure("record", reporting: error, as: .unavailable)
            noteFailure(failure)
            for waiting in group { waiting.continuation.resume(returning: .failure(failure)) }
        }
    }

    private func written(
        _ group: [Waiting], _ db: Database, makeRoom: () -> Bool
    ) throws -> [Result<UseOutcome, StoreFailure>] {
        let revocations = state.withLock { $0.revocations }
        while true {
            do {
                return try RecordWriter.write(group.map(\.record), db, trail, revocations: revocations)
            } catch let error as DatabaseError
                where [.SQLITE_FULL, .SQLITE_IOERR].contains(error.resultCode) && makeRoom()
            {
                continue
            }
        }
    }

    private func noteSuccess() {
        guard let outage = state.withLock({ $0.succeeded() }) else { return }
        metrics.outage(since: nil)
        logger.notice("the store records again", metadata: ["since": "\(outage.since.formatted(.iso8601))"])
    }

    private func noteFailure(_ failure: StoreFailure) {
        let isNew = state.withLock { $0.failed(failure, now: clock.now, uptime: clock.uptime) }
        metrics.failed()
        metrics.outage(since: state.withLock { $0.outage?.since })
        if isNew { logger.error("the store cannot record", metadata: ["failure": "\(failure)"]) }
    }
}

extension Result where Success == UseOutcome, Failure == StoreFailure {
    /// Itself where it is a failure of its own, else that one.
    fileprivate func refused(_ failure: StoreFailure?) -> Self {
        if case .success = self, let failure { .failure(failure) } else { self }
    }
}

extension GroupCommit {
    fileprivate struct Waiting: Sendable {
        let record: PendingRecord
        let continuation: CheckedContinuation<Result<UseOutcome, StoreFailure>, Never>
    }

    fileprivate enum Admission {
        /// With how many wait now.
        case queued(Int)
        case first
        case refused(String)
    }

    fileprivate struct State {
        /// Not in a `Mutex` of its own: that wraps a bare closure once more at each access, until a call of it is as deep
        /// as the stack.
        var revocations: @Sendable () -> RevocationSet = { .none }
        private(set) var waiting: [Waiting] = []
        private(set) var isClosed = false
        private(set) var transactionCount = 0
        private(set) var outage: StoreOutage?
        private var isDraining = false
        private var lastAttempt = Duration.zero

        mutating func admit(_ record: Waiting, bound: Int) -> Admission {
            guard !isClosed else { return .refused(GroupCommit.closed) }
            guard waiting.count < bound || record.record.isRevocation else {
                return .refused("too many records wait to be written")
            }
            waiting.append(record)
            guard !isDraining else { return .queued(waiting.count) }
            isDraining = true
            return .first
        }

        /// - Returns: whether it was open.
        mutating func close() -> Bool {
            defer { isClosed = true }
            return !isClosed
        }

        mutating func takeWaiting() -> [Waiting] {
            defer { waiting.removeAll() }
            return waiting
        }

        mutating func continueDraining() -> Bool {
            isDraining = !waiting.isEmpty
            return isDraining
        }

        /// - Returns: the outage that is over now.
        mutating func succeeded() -> StoreOutage? {
            transactionCount += 1
            defer { outage = nil }
            return outage
        }

        /// - Returns: whether all was well before.
        mutating func failed(_ failure: StoreFailure, now: Date, uptime: Duration) -> Bool {
            let isNew = outage == nil
            outage = StoreOutage(since: outage?.since ?? now, failure: failure)
            lastAttempt = uptime
            return isNew
        }

        mutating func outageToProbe(at now: Duration, interval: Duration) -> (StoreOutage?, isDue: Bool) {
            guard outage != nil, !isClosed, now - lastAttempt >= interval else { return (outage, false) }
            lastAttempt = now
            return (outage, true)
        }
    }
}
