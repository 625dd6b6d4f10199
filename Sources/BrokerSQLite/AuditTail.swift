import Broker
import GRDB
import GRDBSQLite
import JOSE
import Synchronization

/// The end of the chain of audit records.
struct AuditTail: Sendable {
    /// Of the last record; 0 where there never was one.
    fileprivate(set) var sequence: Int64
    fileprivate(set) var hash: [UInt8]
    /// The highest number that was ever given to a record.
    fileprivate(set) var highest: Int64
    fileprivate(set) var lastCheckpoint: Checkpoint?
    /// How many records stand behind the last checkpoint.
    fileprivate(set) var unsealed: Int64

    var mark: AuditMark { AuditMark(sequence: sequence, hash: hash) }

    /// Why no record can be made any more; nil where one can. No broker gets there: somebody put in a record that has the
    /// last number that there is, or one just below it.
    var refusal: StoreFailure? {
        guard highest >= AuditMark.numbers.upperBound else { return nil }
        return StoreFailure(
            .unreadable, "record",
            cause: "the audit trail ends with a record that no broker made: `daypass audit verify`")
    }

    /// As the store has it.
    init(_ db: Database) throws {
        let last = try Checkpoint.last(db)
        lastCheckpoint = last
        let given = try Self.given(db) ?? 0
        if let found = try Self.lastRecord(db) {
            // What is no hash, no broker made: the chain shows it.
            let isHash = found.hash?.count == AuditChain.start.count
            (sequence, hash) = (found.sequence, isHash ? found.hash ?? AuditChain.start : AuditChain.start)
        } else {
            (sequence, hash) = (last?.sequence ?? 0, last?.hash ?? AuditChain.start)
        }
        highest = max(AuditMark.numbers.contains(given) ? given : 0, sequence)
        unsealed =
            try Int64.fetchOne(
                db, sql: "SELECT count(*) FROM audit WHERE sequence > ? AND sequence <= ?",
                arguments: [last?.sequence ?? 0, AuditMark.numbers.upperBound])
            ?? 0
    }

    /// The highest number that was ever given to a record; nil before the first.
    static func given(_ db: Database) throws -> Int64? {
        try Int64.fetchOne(db, sql: "SELECT seq FROM sqlite_sequence WHERE name = 'audit'")
    }

    /// Of those with a number that a broker gives: one that somebody put in beyond must not keep ours from being made.
    fileprivate static func lastRecord(_ db: Database) throws -> (sequence: Int64, hash: [UInt8]?)? {
        let statement = try db.cachedStatement(
            sql: "SELECT sequence, hash FROM audit WHERE sequence <= ? ORDER BY sequence DESC LIMIT 1")
        var found: (Int64, [UInt8]?)?
        try statement.rows(binding: { $0.integer(AuditMark.numbers.upperBound) }) { row in
            found = (row.integer(0), row.bytes(1))
            return false
        }
        return found
    }
}

/// What the process remembers of the chain between two transactions. The file can be changed by whoever can write it; what
/// is recorded next is chained to what this process recorded last.
final class AuditTrail: Sendable {
    private struct State {
        var tail: AuditTail?
        var keys: CheckpointKeys?
        var sink: AuditSink?
        var finding: AuditFinding?
        /// The record of somebody else that was told of last.
        var foreign: AuditMark?
    }

    private let state = Mutex(State())
    private let clock: any BrokerClock
    private let longest: Int64
    /// Called with how many changes were stored without a record.
    private let onOmission: @Sendable (Int) -> Void
    /// Called where the file's last record is not what was recorded last.
    private let onForeignRecord: @Sendable (_ ours: Int64, _ found: Int64) -> Void

    /// - Parameter longest: so many records that were there before there were checkpoints get one of their own.
    init(
        clock: any BrokerClock, longest: Int64 = 100_000,
        onOmission: @escaping @Sendable (Int) -> Void = { _ in },
        onForeignRecord: @escaping @Sendable (Int64, Int64) -> Void = { _, _ in }
    ) {
        self.onOmission = onOmission
        self.clock = clock
        self.longest = longest
        self.onForeignRecord = onForeignRecord
    }

    func sign(with keys: CheckpointKeys) {
        state.withLock { $0.keys = keys }
    }

    var keys: CheckpointKeys? { state.withLock { $0.keys } }

    /// Has nothing signed any more: a checkpoint over what was altered would make it good.
    func note(_ finding: AuditFinding) {
        state.withLock { $0.finding = finding }
    }

    /// What was found at the start, or the file of `audit.file` contradicts; nil where all was well.
    var finding: AuditFinding? {
        let (finding, sink) = state.withLock { ($0.finding, $0.sink) }
        return finding ?? sink?.contradiction
    }

    /// What this process remembers; nil before its first transaction.
    var tail: AuditTail? { state.withLock { $0.tail } }
    /// The last record that this process made, or found at its start; nil before its first transaction.
    var mark: AuditMark? { state.withLock { $0.tail?.mark } }

    /// Has every record written to `sink` from now on.
    func write(to sink: AuditSink) {
        state.withLock { $0.sink = sink }
    }

    /// Brings the file of `audit.file` up to what is committed; nothing where there is none.
    func mirror(_ db: Database, reopening: Bool = false) throws(StoreFailure) {
        let (sink, tail) = state.withLock { ($0.sink, $0.tail) }
        guard let sink else { return }
        if reopening { try sink.reopen(db, to: tail) } else { try sink.catchUp(db, to: tail) }
    }

    /// How far the file has come; nil where there is none.
    var mirrored: AuditSink.Position? { state.withLock { $0.sink }?.position }

    /// For one transaction, which has begun.
    func appender(_ db: Database) throws -> AuditAppender {
        let isSound = finding == nil
        let (known, keys, sink) = state.withLock { ($0.tail, isSound ? $0.keys : nil, $0.sink) }
        guard var tail = known else {
            return try AuditAppender(db, after: AuditTail(db), keys: keys, sink: sink, clock: clock, longest: longest)
        }
        if let found = try AuditTail.lastRecord(db), found.sequence != tail.sequence || found.hash != tail.hash {
            // Once, also where nothing can be recorded behind it.
            let mark = AuditMark(sequence: found.sequence, hash: found.hash ?? [])
            let isNew = state.withLock { state in
                defer { state.foreign = mark }
                return state.foreign != mark
            }
            if isNew { onForeignRecord(tail.sequence, found.sequence) }
            // A number that somebody took is not given again; the hash stays that of our last record, so that the chain
            // shows where theirs begins.
            tail.highest = max(tail.highest, found.sequence)
        }
        return try AuditAppender(db, after: tail, keys: keys, sink: sink, clock: clock, longest: longest)
    }

    /// Its transaction was committed.
    func committed(_ appender: AuditAppender) {
        let tail = appender.tail
        state.withLock { $0.tail = tail }
        if appender.omitted > 0 { onOmission(appender.omitted) }
    }

    /// What `body` returns, run in a transaction of its own.
    func write<Value>(_ db: Database, _ body: (AuditAppender) throws -> Value) throws -> Value {
        if db.isInsideTransaction { try db.rollback() }
        try db.cachedStatement(sql: "BEGIN IMMEDIATE").execute()
        do {
            let appender = try appender(db)
            let value = try body(appender)
            try appender.sealIfDue()
            try db.cachedStatement(sql: "COMMIT").execute()
            committed(appender)
            return value
        } catch {
            // Some errors have rolled it back already.
            if db.isInsideTransaction { try? db.rollback() }
            throw error
        }
    }
}

/// Appends records to the chain within one transaction. On the connection's queue.
final class AuditAppender {
    private let db: Database
    private let insert: Statement
    private let chain = AuditChain()
    private let keys: CheckpointKeys?
    private let sink: AuditSink?
    private let clock: any BrokerClock
    private let longest: Int64
    private(set) var tail: AuditTail
    /// How many records `appendIfPossible` left out.
    private(set) var omitted = 0

    init(
        _ db: Database, after tail: AuditTail, keys: CheckpointKeys?, sink: AuditSink?, clock: any BrokerClock,
        longest: Int64
    ) throws {
        self.db = db
        self.tail = tail
        self.keys = keys
        self.sink = sink
        self.clock = clock
        self.longest = longest
        insert = try db.cachedStatement(
            sql: """
                INSERT INTO audit (
                    sequence, time, trace, kind, issuer, subject, rule, session, token, reason, details, hash) \
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """)
    }

    /// For what takes something away from somebody, and has to happen all the same where no record can be made any more.
    func appendIfPossible(_ row: AuditRow) throws {
        guard tail.refusal == nil else {
            omitted += 1
            return
        }
        try append(row)
    }

    func append(_ row: AuditRow) throws {
        if let refusal = tail.refusal { throw refusal }
        let sequence = tail.highest + 1
        let hash = chain.hash(after: tail.hash, sequence: sequence, row.columns.bytes)
        try insert.run { binder in
            binder.integer(sequence)
            row.bind(&binder)
            binder.blob(hash)
        }
        tail.sequence = sequence
        tail.highest = sequence
        tail.hash = hash
        tail.unsealed += 1
    }

    /// Goes back to a tail that it had, where the records behind that were taken back.
    func reset(to tail: AuditTail) {
        self.tail = tail
    }

    /// Makes a checkpoint where the rhythm wants one, or, with `atOnce`, where there is anything behind the last one.
    func sealIfDue(atOnce: Bool = false) throws {
        guard let keys, tail.unsealed > 0, atOnce || tail.unsealed >= CheckpointRhythm.records else { return }
        // One that no broker made: there is nothing to go on from.
        guard tail.lastCheckpoint.map(\.isCountable) ?? true else { return }
        // Those of before there were checkpoints: a verification goes from one to another.
        while tail.unsealed > 2 * longest, let mark = try mark(longest, behind: tail.lastCheckpoint) {
            try seal(mark, longest, keys)
        }
        try seal(tail.mark, tail.unsealed, keys)
    }

    /// The record so many behind the checkpoint.
    private func mark(_ count: Int64, behind checkpoint: Checkpoint?) throws -> AuditMark? {
        var mark: AuditMark?
        let statement = try db.cachedStatement(
            sql: "SELECT sequence, hash FROM audit WHERE sequence > ? ORDER BY sequence LIMIT 1 OFFSET ?")
        let bind = { (binder: inout Binder) in
            binder.integer(checkpoint?.sequence ?? 0)
            binder.integer(count - 1)
        }
        try statement.rows(binding: bind) { row in
            mark = AuditMark(sequence: row.integer(0), hash: row.bytes(1) ?? [])
            return false
        }
        return mark
    }

    private func seal(_ mark: AuditMark, _ count: Int64, _ keys: CheckpointKeys) throws {
        let place = Checkpoint.Place(
            sequence: mark.sequence, hash: mark.hash, count: (tail.lastCheckpoint?.count ?? 0) + count)
        let checkpoint: Checkpoint
        do {
            checkpoint = try Checkpoint(
                place, after: tail.lastCheckpoint, generation: StoreGeneration(db).number, signedWith: keys.signing,
                at: clock.now)
        } catch let failure as StoreFailure {
            throw failure
        } catch {
            throw StoreFailure(.unavailable, "make a checkpoint", cause: "\(error)")
        }
        try checkpoint.insert(db)
        if let sink { try AuditSink.note(sink.position, db) }
        tail.lastCheckpoint = checkpoint
        tail.unsealed -= count
    }
}

extension Checkpoint {
    /// Whether it can be counted on from.
    fileprivate var isCountable: Bool {
        AuditMark.numbers.contains(number) && AuditMark.numbers.contains(count)
    }
}
