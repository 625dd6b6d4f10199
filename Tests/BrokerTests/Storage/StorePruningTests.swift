import Broker
import BrokerTesting
import Foundation
import JOSE
import Logging
import Testing

@Suite struct `Pruning the store` {
    private let store = MemoryStore()
    private let clock = ManualClock()
    private let log = LogRecorder()
    private let day: Duration = .seconds(86_400)

    init() async throws {
        _ = try await StoreConformance.signing(store)
    }

    /// Pruning whose clock is believed.
    private func pruning(retention days: Int = 400) async -> StorePruning {
        var pruning = StorePruning(store, retention: day * days, archive: "archive", clock: clock, logger: log.logger)
        clock.advance(by: .seconds(3600))
        await pruning.round()
        return pruning
    }

    private func record(_ id: String, at time: Date, expires: Date? = nil) async throws {
        let session = SessionRecord(
            id: ExactString(id), issuer: Sample.issuer, subject: "ci:a", rule: "main", start: time,
            end: time.addingTimeInterval(3600), claims: [:])
        let event = AuditEvent(
            time: time, trace: TraceID(), kind: .exchangeGranted, issuer: Sample.issuer, subject: "ci:a", rule: "main",
            sessionID: session.id, tokenID: "t", details: [:])
        let use = SubjectTokenUse(
            key: Array(id.utf8), expires: expires ?? time.addingTimeInterval(330), notIssuedBefore: time,
            maximumUses: 1)
        _ = try await store.record(session, event, using: use)
        try await store.makeCheckpoint()
    }

    /// What is in the store, as ids of sessions, of sessions with a use, and of sessions with an audit record.
    private func contents() -> [[String]] {
        let ids = store.sessions.map(\.id.string)
        return [ids, store.events.compactMap(\.sessionID?.string)]
    }

    private var deletions: [AuditEvent] { store.events.filter { $0.kind == .recordsDeleted } }
    private var archivings: [AuditEvent] { store.events.filter { $0.kind == .recordsArchived } }

    @Test func `deletes what is older than the retention, in batches, and says so in one line`() async throws {
        for number in 0..<1200 { try await record("s\(number)", at: clock.now) }
        var pruning = await pruning(retention: 1)
        #expect(store.sessions.count == 1200)
        clock.advance(by: day * 2)
        try await record("new", at: clock.now)
        await pruning.round()
        #expect(store.sessions.map(\.id) == ["new"])
        #expect(store.events.filter { $0.kind == .exchangeGranted }.count == 1)
        #expect(deletions.map { $0.details["count"] } == [500, 500, 200])
        #expect(deletions.map { $0.details["table"] } == ["sessions", "sessions", "sessions"])
        // With the record of the checkpoint key.
        #expect(archivings.map { $0.details["count"] } == [1201])
        #expect(store.archives.values.map(\.count) == [1201])
        let traces = Set((deletions + archivings).map(\.trace))
        #expect(traces.count == 1)
        let lines = log.lines.filter { $0.contains("took out what was kept long enough") }
        let trace = try #require(traces.first)
        #expect(
            lines.last == "notice took out what was kept long enough archived=1201 retention_seconds=86400 "
                + "sessions=1200 trace=\(trace)")
    }

    @Test func `applies the retention once an hour, so that its records do not fill the record`() async throws {
        for minute in 0..<300 {
            let time = clock.now.addingTimeInterval(Double(60 * minute - 86_400))
            try await record("s\(minute)", at: time)
        }
        var pruning = await pruning(retention: 1)
        #expect(archivings.map { $0.details["count"] } == [61])
        for _ in 0..<120 {
            clock.advance(by: StorePruning.interval)
            await pruning.round()
        }
        // An hour of audit records each, and of sessions, which ended an hour later.
        #expect(deletions.map { $0.details["count"] } == [60, 60])
        #expect(archivings.map { $0.details["count"] } == [61, 60, 60])
    }

    @Test func `a start with a clock far ahead of the last record deletes nothing for a day, and says so`() async throws
    {
        try await record("s", at: clock.now)
        clock.now.addTimeInterval(500 * 86_400)
        var pruning = StorePruning(
            store, retention: day * 400, archive: "archive", lastRecord: try await store.lastAuditTime(), clock: clock,
            logger: log.logger)
        #expect(log.lines.count == 1 && log.lines[0].contains("more than a day ahead of the last audit record"))
        clock.advance(by: .seconds(7200))
        await pruning.round()
        #expect(store.sessions.count == 1 && deletions.isEmpty)
        clock.advance(by: day)
        await pruning.round()
        #expect(store.sessions.isEmpty)
    }

    @Test func `nothing is deleted in the first hour`() async throws {
        try await record("s1", at: clock.now.addingTimeInterval(-9 * 86_400))
        var pruning = StorePruning(store, retention: day, archive: "archive", clock: clock, logger: log.logger)
        for _ in 0..<59 {
            await pruning.round()
            clock.advance(by: .seconds(60))
        }
        #expect(contents() == [["s1"], ["s1"]])
        #expect(deletions.isEmpty)
        clock.advance(by: .seconds(60))
        await pruning.round()
        #expect(contents() == [[], []])
    }

    @Test func `nothing is deleted while the clock is ahead, and a day after it is`() async throws {
        var pruning = await pruning(retention: 1)
        try await record("s1", at: clock.now)
        clock.now.addTimeInterval(9 * 86_400)
        for _ in 0..<120 {
            await pruning.round()
            clock.advance(by: .seconds(60))
        }
        #expect(contents() == [["s1"], ["s1"]])
        #expect(log.lines.filter { $0.contains("the wall clock jumped") }.count == 1)
        #expect(log.text.contains("error the wall clock jumped") && log.text.contains("seconds=777600"))
        clock.now.addTimeInterval(-9 * 86_400)
        await pruning.round()
        #expect(contents() == [["s1"], ["s1"]])
        #expect(log.lines.last == "notice the wall clock is believed again")
        // It stays ahead: after a day that is the time.
        clock.now.addTimeInterval(9 * 86_400)
        await pruning.round()
        clock.advance(by: .seconds(86_399))
        await pruning.round()
        #expect(contents() == [["s1"], ["s1"]])
        clock.advance(by: .seconds(1))
        await pruning.round()
        #expect(contents() == [[], []])
    }

    @Test func `a clock that jumps between two batches ends the round`() async throws {
        for number in 0..<1200 { try await record("s\(number)", at: clock.now.addingTimeInterval(-3 * 86_400)) }
        let jumping = JumpingStore(store: store, clock: clock, afterBatches: 2)
        var pruning = StorePruning(jumping, retention: day, archive: "archive", clock: clock, logger: log.logger)
        clock.advance(by: .seconds(3600))
        await pruning.round()
        #expect(store.sessions.count == 200)
        #expect(store.events.filter { $0.kind == .exchangeGranted }.count == 1200)
        #expect(log.text.contains("archived=0") && log.text.contains("sessions=1000"))
        // When it is back, the rest goes, and not only after another hour.
        clock.now.addTimeInterval(-86_400)
        await pruning.round()
        #expect(store.sessions.isEmpty)
    }

    @Test func `a store that fails is left alone until the next round`() async throws {
        try await record("s1", at: clock.now.addingTimeInterval(-9 * 86_400))
        var pruning = StorePruning(store, retention: day, archive: "archive", clock: clock, logger: log.logger)
        clock.advance(by: .seconds(3600))
        store.fail(with: StoreFailure(.unavailable, "delete", cause: "told to"))
        await pruning.round()
        #expect(log.text.contains("could not take out what was kept long enough"))
        store.fail(with: nil)
        #expect(contents() == [["s1"], ["s1"]])
        clock.advance(by: .seconds(60))
        await pruning.round()
        #expect(contents() == [[], []])
    }

    @Test func `a task that is cancelled stops after its batch`() async throws {
        for number in 0..<1200 { try await record("s\(number)", at: clock.now.addingTimeInterval(-3 * 86_400)) }
        var pruning = StorePruning(store, retention: day, archive: "archive", clock: clock, logger: log.logger)
        clock.advance(by: .seconds(3600))
        let ready = pruning
        await Task {
            var pruning = ready
            withUnsafeCurrentTask { $0?.cancel() }
            await pruning.round()
        }.value
        #expect(store.sessions.count == 1200)
        await pruning.round()
        #expect(store.sessions.isEmpty)
    }

    @Test func `a token that was used before a forward jump is still counted after it`() async throws {
        let bench = try ExchangeBench(replay: .once)
        var pruning = StorePruning(
            bench.store, retention: day, archive: "archive", clock: bench.clock, logger: bench.log.logger)
        bench.clock.advance(by: .seconds(3600))
        await pruning.round()
        let token = try bench.token()
        _ = try await bench.exchange.exchange(bench.request(token))
        bench.clock.now.addTimeInterval(86_400)
        for _ in 0..<10 {
            await pruning.round()
            bench.clock.advance(by: .seconds(1))
        }
        #expect(await bench.refusal(try bench.request(token))?.name == "subjectToken")
        bench.clock.now.addTimeInterval(-86_400)
        await pruning.round()
        let request = try bench.request(token)
        #expect(await bench.refusal(request)?.name == "subjectToken")
        #expect(try await bench.store.auditEvents(trace: request.trace).map(\.reason) == ["replayed"])
    }

    @Test func `a token that was used before the clock went back an hour is counted then, and afterwards`() async throws
    {
        let bench = try ExchangeBench(replay: .once)
        var pruning = StorePruning(
            bench.store, retention: day, archive: "archive", clock: bench.clock, logger: bench.log.logger)
        bench.clock.advance(by: .seconds(3600))
        await pruning.round()
        // One that is good at both times.
        let now = bench.clock.now.timeIntervalSince1970
        let token = try bench.token(["iat": .number(now - 3600), "exp": .number(now)])
        bench.clock.now.addTimeInterval(-10)
        _ = try await bench.exchange.exchange(bench.request(token))
        for step in [-3600.0, 3600] {
            bench.clock.now.addTimeInterval(step)
            await pruning.round()
            let request = try bench.request(token)
            #expect(await bench.refusal(request)?.name == "subjectToken")
            #expect(try await bench.store.auditEvents(trace: request.trace).map(\.reason) == ["replayed"])
        }
    }
}

/// Sets the clock a day ahead after some batches.
private final class JumpingStore: PrunableStore {
    private let store: MemoryStore
    private let clock: ManualClock
    private let batches: Int

    init(store: MemoryStore, clock: ManualClock, afterBatches batches: Int) {
        (self.store, self.clock, self.batches) = (store, clock, batches)
    }

    func forgetUses(expiredAt now: Date, limit: Int) async throws(StoreFailure) -> Int {
        try await store.forgetUses(expiredAt: now, limit: limit)
    }

    func forgetSignIns(endedBefore now: Date, limit: Int) async throws(StoreFailure) -> Int {
        try await store.forgetSignIns(endedBefore: now, limit: limit)
    }

    func dropSecrets(
        after position: Int64, limit: Int, where isDead: @escaping @Sendable (SessionRecord) -> Bool
    ) async throws(StoreFailure) -> Int64? {
        try await store.dropSecrets(after: position, limit: limit, where: isDead)
    }

    func prune(_ batch: PruningBatch) async throws(StoreFailure) -> PruningResult {
        let result = try await store.prune(batch)
        if store.events.count(where: { $0.kind == .recordsDeleted }) == batches { clock.now.addTimeInterval(86_400) }
        return result
    }

    func archive(_ order: ArchiveOrder) async throws(StoreFailure) -> ArchiveResult {
        try await store.archive(order)
    }

    func deleteArchived(limit: Int) async throws(StoreFailure) -> Int {
        try await store.deleteArchived(limit: limit)
    }
}
