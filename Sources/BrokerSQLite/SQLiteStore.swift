// The embedded store: one SQLite file, one connection, one queue. What concurrent exchanges record goes through
// `GroupCommit` and shares transactions; everything else here is rare and takes one of its own. Nothing returns before
// SQLite has synced it to the disk.
package import Broker
import GRDB
package import Logging
import Synchronization

/// The store in one SQLite file in WAL mode.
///
/// Its work runs on the connection's own dispatch queue, so that callers suspend and never block a thread of Swift's
/// pool. Only one of these can have a file open at a time, in whichever process; other tools may read it meanwhile.
package final class SQLiteStore: Sendable {
    package enum Opening: Sendable {
        /// The file has to be there and to be a store.
        case existing
        /// The file is made where there is none.
        case creating
    }

    /// Absolute, without symbolic links.
    package let path: String
    let commits: GroupCommit
    /// For what looks at many rows.
    let reading: ReadConnection
    private let writer: DatabaseQueue
    private let lock: StoreLock
    /// One at a time: each keeps the write-ahead log from beginning anew.
    let isVerifying = Atomic(false)

    /// Opens the file, and brings an older one up to date. Blocks the calling thread: for the start of a program.
    /// - Parameters:
    ///   - waitingBound: How many records may wait for the next transaction; more are refused at once.
    ///   - reserve: How many bytes of the disk are kept for revocations, in a file of their own, `….reserve`: see
    ///     `standardReserve`. While they cannot be had nothing else is recorded.
    ///   - busyTimeout: How long a transaction waits for a lock that another program holds.
    /// - Throws: `.unavailable` where the file cannot be reached, or another `daypassd` has it; `.unreadable` where it
    ///   is not a store that this version understands. Neither changes it.
    package init(
        path: String, _ opening: Opening = .existing, logger: Logger, clock: any BrokerClock = SystemClock(),
        waitingBound: Int = 4096, busyTimeout: Duration = .seconds(1), reserve: Int = 0,
        metrics: StoreMetrics = .disabled
    ) throws(StoreFailure) {
        let file = try StoreFile(path: path)
        let lock = try StoreLock(beside: file.path)
        try file.prepare(opening)
        let writer = try Connection.open(file.path, opening, busyTimeout: busyTimeout, logger: logger)
        self.path = file.path
        self.lock = lock
        self.writer = writer
        reading = ReadConnection(path: file.path)
        commits = GroupCommit(
            writer: writer, reserve: DiskReserve(beside: file.path, size: reserve), waitingBound: waitingBound,
            logger: logger, clock: clock, metrics: metrics)
    }

    /// Room for 10,000 revocations.
    package static let standardReserve = DiskReserve.standardSize

    /// Has those asked, from now on, just before anything that grants is committed.
    package func ask(_ revocations: @escaping @Sendable () -> RevocationSet) {
        commits.ask(revocations)
    }

    /// Finishes what waits, moves the write-ahead log into the file and closes it. Everything asked for later is
    /// refused with `.unavailable`. A second call returns at once.
    package func close() async {
        // First: the last connection to a file is the one that tidies up, and this one cannot write.
        await reading.close()
        guard await commits.close() else { return }
        lock.release()
    }

    /// Since when and why nothing can be recorded, or nil where all is well.
    ///
    /// Tries to write, at most once a second, while the last transaction failed: a server that is not ready gets no
    /// requests, so nothing else would notice that the cause is gone.
    package func check() async -> StoreOutage? {
        await commits.check()
    }

    /// What `body` returns, run on the connection's queue.
    func perform<Value: Sendable>(
        _ operation: StaticString, _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(StoreFailure) -> Value {
        let result: Result<Value, StoreFailure> = await withCheckedContinuation { continuation in
            writer.asyncWriteWithoutTransaction { [commits] db in
                guard !commits.isClosed else {
                    let failure = StoreFailure(.unavailable, operation, cause: GroupCommit.closed)
                    return continuation.resume(returning: .failure(failure))
                }
                continuation.resume(
                    returning: Result { try body(db) }.mapError { StoreFailure(operation, reporting: $0) })
            }
        }
        return try result.get()
    }
}

extension SQLiteStore {
    /// What `body` returns, run on the connection's queue in a transaction of its own, which leaves the audit trail alone.
    func writeUnrecorded<Value: Sendable>(
        _ operation: StaticString, _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(StoreFailure) -> Value {
        try await perform(operation) { db in
            if db.isInsideTransaction { try db.rollback() }
            var value: Value?
            try db.inTransaction(.immediate) {
                value = try body(db)
                return .commit
            }
            guard let value else { throw StoreFailure(.unavailable, operation, cause: "nothing was done") }
            return value
        }
    }

    /// What `body` returns, run on the connection's queue in a transaction of its own, which may append to the audit trail.
    /// - Parameter needingFile: whether nothing is done while the file of `audit.file` cannot be written.
    func write<Value: Sendable>(
        _ operation: StaticString, needingFile: Bool = true,
        _ body: @escaping @Sendable (Database, AuditAppender) throws -> Value
    ) async throws(StoreFailure) -> Value {
        try await perform(operation) { [commits] db in
            try commits.write(db, needingFile: needingFile) { try body(db, $0) }
        }
    }
}

extension SQLiteStore: ExchangeStore {
    @discardableResult
    package func record(_ session: SessionRecord, _ event: AuditEvent) async throws(StoreFailure) -> UseOutcome {
        try await commits.commit(.exchange(SessionRow(session), AuditRow(event)))
    }

    package func record(
        _ session: SessionRecord, _ event: AuditEvent, using use: SubjectTokenUse
    ) async throws(StoreFailure) -> UseOutcome {
        try await commits.commit(.use(use, SessionRow(session), AuditRow(event)))
    }

    package func record(
        _ event: AuditEvent, renewing session: SessionRecord
    ) async throws(StoreFailure) -> UseOutcome {
        try await commits.commit(.renewal(session, AuditRow(event)))
    }

    package func record(_ event: AuditEvent) async throws(StoreFailure) {
        try await commits.commit(.event(AuditRow(event)))
    }
}
