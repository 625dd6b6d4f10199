import Broker
import FoundationEssentials
import JOSE

extension StoreConformance {
    private static let retention: Duration = .seconds(10 * 86_400)
    private static let day: TimeInterval = 86_400
    /// When the records of `Sample` are as old as may be, and not older.
    private static let now = Sample.time.addingTimeInterval(retention.seconds)

    private static func prune(
        _ table: RetainedTable, after position: Int64 = 0, rows: Int = 100, at now: Date, _ store: any Store
    ) async throws -> (result: PruningResult, record: AuditEvent?) {
        let batch = PruningBatch(
            table, after: position, maximumRows: rows, retention: retention, at: now, trace: TraceID())
        let result = try await store.prune(batch)
        let records = try await store.auditEvents(trace: batch.trace)
        try expect(records.count <= 1, "a batch has \(records.count) records")
        return (result, records.first)
    }

    /// Archives as often as anything is archived, and deletes what was.
    private static func archive(
        at now: Date, rows: Int = 100, _ store: any Store
    ) async throws -> (results: [ArchiveResult], records: [AuditEvent], deleted: Int) {
        let folder = try TemporaryFolder()
        let order = ArchiveOrder(
            to: folder.path + "/archive", retention: retention, at: now, trace: TraceID(), maximumRecords: rows)
        var (results, deleted): ([ArchiveResult], Int) = ([], 0)
        while results.count < 20 {
            let result = try await store.archive(order)
            guard result.file != nil else { break }
            results.append(result)
            while case let count = try await store.deleteArchived(limit: 2), count > 0 { deleted += count }
        }
        return (results, try await store.auditEvents(trace: order.trace), deleted)
    }

    static func auditIsArchived(_ store: any Store) async throws {
        _ = try await signing(store)
        var events: [AuditEvent] = []
        for offset in [-3, -2, -1, 0, 1.0] {
            events.append(Sample.refusal(time: Sample.time.addingTimeInterval(offset)))
            try await store.record(events[events.count - 1])
            // Behind the second and the fourth: what stands between checkpoints stays or goes together.
            if [-2, 0].contains(offset) { _ = try await store.makeCheckpoint() }
        }
        try expect(try await archive(at: Sample.time, store).results.isEmpty, "something too young was archived")
        let before = try await store.checkpoints(after: 0, limit: 9)
        let done = try await archive(at: now.addingTimeInterval(0.5), store)
        try expect(done.results.map(\.records) == [5] && done.deleted == 5, "\(done.results)")
        for (index, event) in events.enumerated() {
            try expect(try await store.auditEvents(trace: event.trace), are: index < 4 ? [] : [event])
        }
        let details = done.records.first?.details
        try expect(done.records.count == 1 && done.records[0].kind == .recordsArchived, "\(done.records)")
        try expect(
            details?["count"] == 5 && details?["first"] == 1 && details?["last"] == 5 && details?["checkpoint"] == 2,
            "\(details as Any)")
        try expect(details?["file"]?.string?.string == done.results[0].file, "\(details as Any)")
        let report = try await store.verifyAudit(after: nil, records: .max)
        try expect(report.finding == nil && report.first == 6 && report.records == 2, "\(report)")
        // It counts on, and the next ones are archived behind it.
        guard let third = try await store.makeCheckpoint() else {
            throw ConformanceFailure(description: "no checkpoint was made")
        }
        try expect(third.number == 3 && third.previous == before[1].digest && third.count == 7, "\(third)")
        let later = try await archive(at: now.addingTimeInterval(2 * retention.seconds), store)
        try expect(later.results.map(\.records) == [2], "\(later.results)")
        let rest = try await store.verifyAudit(after: nil, records: .max)
        try expect(rest.finding == nil && rest.first == 8, "\(rest)")
        try expect(try await store.auditMarks(after: 0, limit: 9).map(\.sequence) == [7, 8], "other marks")
    }

    static func unsignedStays(_ store: any Store) async throws {
        for _ in 0..<3 { try await store.record(Sample.refusal()) }
        let late = now.addingTimeInterval(1)
        try expect(try await archive(at: late, store).results.isEmpty, "it was archived without a checkpoint")
        _ = try await signing(store)
        _ = try await store.makeCheckpoint()
        try await store.record(Sample.refusal())
        let done = try await archive(at: late, store)
        try expect(done.results.map(\.records) == [4] && done.deleted == 4, "\(done)")
    }

    static func archivingIsBounded(_ store: any Store) async throws {
        _ = try await signing(store)
        for number in 2...12 {
            try await store.record(Sample.refusal())
            if number.isMultiple(of: 2) { _ = try await store.makeCheckpoint() }
        }
        let done = try await archive(at: now.addingTimeInterval(1), rows: 5, store)
        try expect(done.results.map(\.records) == [6, 6] && done.deleted == 12, "\(done.results)")
        try expect(Set(done.results.map(\.file)).count == 2, "two parts in one file")
        try expect(try await store.verifyAudit(after: nil, records: .max).finding == nil, "it is not intact")
    }

    static func archivingPassesOverTheFuture(_ store: any Store) async throws {
        _ = try await signing(store)
        // Clocks were wrong: far ahead, and then far behind.
        for offset in [-1, 400 * day, 401 * day, -1, -1000 * day] {
            try await store.record(Sample.refusal(time: Sample.time.addingTimeInterval(offset)))
        }
        _ = try await store.makeCheckpoint()
        try await store.record(Sample.refusal(time: Sample.time.addingTimeInterval(1)))
        _ = try await store.makeCheckpoint()
        try expect(try await archive(at: now.addingTimeInterval(0.5), store).results.map(\.records) == [6], "held up")
    }

    static func pruningIsBounded(_ store: any Store) async throws {
        for number in 0..<7 {
            let session = session("s\(number)", endingAt: Sample.time)
            try await store.record(session, Sample.grant(session: session.id.string))
        }
        var (position, deleted): (Int64?, [Int]) = (0, [])
        while let next = position, deleted.count < 10 {
            let result = try await prune(.sessions, after: next, rows: 3, at: now.addingTimeInterval(1), store).result
            deleted.append(result.deleted)
            position = result.position
        }
        try expect(deleted == [3, 3, 1], "\(deleted)")
    }

    private static func session(_ id: String, below parent: ExactString? = nil, endingAt end: Date) -> SessionRecord {
        SessionRecord(
            id: ExactString(id), ancestors: parent.map { [$0] } ?? [], issuer: Sample.issuer, subject: "ci:a",
            rule: "ci-main", start: end.addingTimeInterval(-3600), end: end, claims: [:])
    }

    static func sessionsArePruned(_ store: any Store) async throws {
        let sessions = [
            session("old", endingAt: Sample.time.addingTimeInterval(-1)),
            session("child", below: "old", endingAt: Sample.time.addingTimeInterval(-2)),
            session("limit", endingAt: Sample.time),
            session("behind", endingAt: Sample.time.addingTimeInterval(-1)),
            session("live", endingAt: now.addingTimeInterval(600)),
        ]
        var events: [AuditEvent] = []
        for session in sessions {
            events.append(Sample.grant(session: session.id.string))
            try await store.record(session, events[events.count - 1])
        }
        let (result, record) = try await prune(.sessions, at: now, store)
        try expect(result == PruningResult(deleted: 2, position: nil), "\(result)")
        try expect(record?.details["table"] == "sessions" && record?.details["count"] == 2, "no record of it")
        for session in sessions {
            let kept = try await store.session(session.id)
            try expect(
                kept == (["old", "child"].contains(session.id) ? nil : session), "\(session.id): \(kept as Any)")
        }
        for event in events { try expect(try await store.auditEvents(trace: event.trace), are: [event]) }
        let later = try await prune(.sessions, at: now.addingTimeInterval(1), store).result
        try expect(later.deleted == 2, "\(later)")
        try expect(try await store.session("live") != nil, "a live session was deleted")
    }

    static func joinableSessionsStay(_ store: any Store) async throws {
        let late = now.addingTimeInterval(1)
        // What is as old as a session that may be joined waits with it.
        let unused = session("unused", endingAt: Sample.time)
        try await store.record(unused, Sample.grant(session: "unused"))
        let joined = session("joined", endingAt: Sample.time)
        let use = Sample.use(atMost: 3, expires: joined.start.addingTimeInterval(day + 60))
        try expect(try await record(joined, use, store) == .recorded, "the first use")
        try expect(try await prune(.sessions, at: late, store).result.deleted == 0, "it may be joined")
        try expect(try await record(session("other", endingAt: late), use, store) == .joins(joined), "it is gone")
        try expect(try await store.forgetUses(expiredAt: late, limit: 10) == 1, "the use was not forgotten")
        try expect(try await prune(.sessions, at: late, store).result.deleted == 2, "nothing joins it any more")
    }

    private static func record(
        _ session: SessionRecord, _ use: SubjectTokenUse, _ store: any Store
    ) async throws -> UseOutcome {
        try await store.record(session, Sample.grant(session: session.id.string), using: use)
    }

    static func lastTime(_ store: any Store) async throws {
        try expect(try await store.lastAuditTime() == nil, "an empty store has a last record")
        for offset in [0, 9, 3.0] {
            try await store.record(Sample.refusal(time: Sample.time.addingTimeInterval(offset)))
        }
        let last = try await store.lastAuditTime()
        try expect(last == Sample.time.addingTimeInterval(3), "\(last as Any) is not what was recorded last")
    }

    static func lastExpiry(_ store: any Store) async throws {
        let before = Sample.time.addingTimeInterval(-1)
        try expect(
            try await store.latestExpiry(grantedAfter: before, lookingAt: 0) == .distantPast, "a token of nobody")
        for (index, (kind, expires)) in [
            (AuditEvent.Kind.exchangeGranted, 900), (.sessionRenewed, 1800), (.sessionNarrowed, 60),
            (.revoked, 86_400), (.exchangeRefused, 86_400),
        ].enumerated() {
            let end = Sample.time.addingTimeInterval(Double(expires)).timeIntervalSince1970
            try await store.record(
                AuditEvent(
                    time: Sample.time.addingTimeInterval(Double(index)), trace: TraceID(), kind: kind, issuer: nil,
                    subject: nil, tokenID: ExactString("t\(index)"), details: ["expires": .number(end)]))
        }
        func latest(after seconds: Double, _ count: Int) async throws -> Date? {
            try await store.latestExpiry(
                grantedAfter: Sample.time.addingTimeInterval(seconds), lookingAt: count)
        }
        let (all, some) = (try await latest(after: -1, 5), try await latest(after: 1, 3))
        try expect(all == Sample.time.addingTimeInterval(1800), "\(all as Any) is not the latest of what was granted")
        try expect(some == Sample.time.addingTimeInterval(60), "\(some as Any) is not the latest of the younger ones")
        try expect(try await latest(after: 0, 4) == Sample.time.addingTimeInterval(1800), "four are not too many")
        try expect(try await latest(after: -1, 4) == nil, "five are too many")
    }
}
