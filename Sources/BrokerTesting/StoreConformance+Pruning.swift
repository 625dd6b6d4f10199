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

    static func auditIsPruned(_ store: any Store) async throws {
        var events: [AuditEvent] = []
        for offset in [-2, -1, 0, 1.0] {
            events.append(Sample.refusal(time: Sample.time.addingTimeInterval(offset)))
            try await store.record(events[events.count - 1])
        }
        let (result, record) = try await prune(.audit, at: now, store)
        try expect(result == PruningResult(deleted: 2, position: nil), "\(result)")
        for (index, event) in events.enumerated() {
            try expect(try await store.auditEvents(trace: event.trace), are: index < 2 ? [] : [event])
        }
        let expected: JSONObject = [
            "table": "audit", "count": 2,
            "first": ["number": 1, "time": .number(Sample.time.timeIntervalSince1970 - 2)],
            "last": ["number": 2, "time": .number(Sample.time.timeIntervalSince1970 - 1)],
            "older_than": .number(Sample.time.timeIntervalSince1970), "retention": .number(retention.seconds),
        ]
        guard let record else { throw ConformanceFailure(description: "the deletion was not recorded") }
        try expect(record.kind == .recordsDeleted && record.issuer == nil && record.time == now, "\(record)")
        try expect(record.details == expected, "\(record.details)")
        let again = try await prune(.audit, at: now, store)
        try expect(again.result == PruningResult(deleted: 0, position: nil), "\(again.result)")
        try expect(again.record == nil, "nothing was deleted, and yet recorded")
    }

    static func pruningIsBounded(_ store: any Store) async throws {
        for _ in 0..<7 { try await store.record(Sample.refusal()) }
        var (position, deleted): (Int64?, [Int]) = (0, [])
        while let next = position, deleted.count < 10 {
            let result = try await prune(.audit, after: next, rows: 3, at: now.addingTimeInterval(1), store).result
            deleted.append(result.deleted)
            position = result.position
        }
        try expect(deleted == [3, 3, 1], "\(deleted)")
    }

    static func pruningKeepsTheFuture(_ store: any Store) async throws {
        // Clocks were wrong: far ahead, and then far behind.
        let times = [-1, 400 * day, 401 * day, -1, 1, -1000 * day, 2].map { Sample.time.addingTimeInterval($0) }
        let events = times.map { Sample.refusal(time: $0) }
        for event in events { try await store.record(event) }
        let (result, record) = try await prune(.audit, at: now, store)
        try expect(result == PruningResult(deleted: 2, position: nil), "\(result)")
        try expect(record?.details["last"]?.object?["number"] == 4, "\(String(describing: record?.details))")
        for (index, event) in events.enumerated() {
            try expect(try await store.auditEvents(trace: event.trace), are: [0, 3].contains(index) ? [] : [event])
        }
        // A batch of nothing but the future is passed over.
        let first = try await prune(.audit, rows: 2, at: now.addingTimeInterval(1.5), store).result
        try expect(first == PruningResult(deleted: 0, position: 3), "\(first)")
        let second = try await prune(.audit, after: 3, rows: 2, at: now.addingTimeInterval(1.5), store).result
        try expect(second.deleted == 2, "\(second)")
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
