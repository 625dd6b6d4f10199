import Broker
import FoundationEssentials
import JOSE

// Audit records, found by what they say.
extension StoreConformance {
    private static let times = [100.0, 50, 200, 50.5, 300].map { Sample.time.addingTimeInterval($0) }

    private static func event(
        _ number: Int, subject: ExactString? = "ci:a", rule: ExactString? = "r", session: ExactString? = nil,
        token: ExactString? = nil, kind: AuditEvent.Kind = .exchangeGranted, time: Date = Sample.time,
        trace: TraceID = TraceID()
    ) -> AuditEvent {
        AuditEvent(
            time: time, trace: trace, kind: kind, issuer: Sample.issuer, subject: subject, rule: rule,
            sessionID: session, tokenID: token, details: ["number": .number(Double(number))])
    }

    static func auditByCondition(_ store: any Store) async throws {
        let trace = TraceID()
        let events = [
            event(0), event(1, subject: "ci:\u{e9}"), event(2, subject: "ci:e\u{301}"), event(3, subject: "ci:a\0b"),
            event(4, subject: nil, rule: nil, kind: .keyRotated), event(5, subject: "CI:A", rule: "R"),
            event(6, session: "s1", token: "t1"), event(7, session: "s1", token: "t2", kind: .sessionRenewed),
            event(8, subject: "ci:b", kind: .exchangeRefused, trace: trace), event(9, rule: "ci:a", trace: trace),
            event(10, subject: ""), event(11, subject: "ci:a "),
        ]
        for event in events { try await store.record(event) }
        let expected: [(AuditCondition, [Int])] = [
            (.init(), Array(0...11)), (.init(subject: "ci:a"), [0, 6, 7, 9]), (.init(subject: "ci:\u{e9}"), [1]),
            (.init(subject: "ci:e\u{301}"), [2]), (.init(subject: "ci:a\0b"), [3]), (.init(subject: ""), [10]),
            (.init(subject: "ci:a "), [11]), (.init(rule: "R"), [5]), (.init(rule: "ci:a"), [9]),
            (.init(session: "s1"), [6, 7]), (.init(token: "t2"), [7]), (.init(kind: .keyRotated), [4]),
            (.init(kind: .sessionRenewed, session: "s1"), [7]), (.init(kind: .keyRotated, subject: "ci:a"), []),
            (.init(trace: trace), [8, 9]), (.init(subject: "ci:b", trace: trace), [8]),
            (.init(trace: TraceID()), []), (.init(subject: "ci"), []), (.init(session: "S1"), []),
            (.init(session: "t1"), []),
        ]
        for (condition, numbers) in expected {
            let last = try await store.auditRecords(condition, before: nil, limit: 1000)
            try expect(last.records.map(\.event), are: numbers.reversed().map { events[$0] })
            try expect(last.isLast, "there is more of \(condition)")
            let first = try await store.auditRecords(condition, after: 0, limit: 1000)
            try expect(first.records.map(\.event), are: numbers.map { events[$0] })
            try expect(first.isLast, "there is more of \(condition)")
        }
    }

    static func auditInParts(_ store: any Store) async throws {
        let events = (0..<7).map { event($0, subject: $0.isMultiple(of: 3) ? "ci:b" : "ci:a") }
        for event in events { try await store.record(event) }
        for (condition, all) in [
            (AuditCondition(), events), (.init(subject: "ci:a"), [1, 2, 4, 5].map { events[$0] }),
        ] {
            for limit in 1...8 {
                var (found, before, isLast): ([AuditRecord], Int64?, Bool) = ([], nil, false)
                while !isLast {
                    let part = try await store.auditRecords(condition, before: before, limit: limit)
                    try expect(part.records.count <= limit, "\(part.records.count) of \(limit)")
                    try expect(part.isLast || !part.records.isEmpty, "an empty part, and there is more")
                    found += part.records
                    (before, isLast) = (part.position, part.isLast)
                }
                try expect(found.map(\.event), are: all.reversed())
                try expect(found.map(\.sequence) == found.map(\.sequence).sorted(by: >), "out of order")
                var after: Int64 = 0
                (found, isLast) = ([], false)
                while !isLast {
                    let part = try await store.auditRecords(condition, after: after, limit: limit)
                    try expect(part.records.count <= limit, "\(part.records.count) of \(limit)")
                    found += part.records
                    (after, isLast) = (part.position, part.isLast)
                }
                try expect(found.map(\.event), are: all)
                // Whoever follows goes on from there.
                let more = try await store.auditRecords(condition, after: after, limit: limit)
                try expect(more.records.isEmpty && more.isLast, "there is more at the end")
            }
        }
        let later = event(7)
        let end = try await store.auditRecords(.init(), after: 0, limit: 100).position
        try await store.record(later)
        try expect(try await store.auditRecords(.init(), after: end, limit: 100).records.map(\.event), are: [later])
    }

    static func auditByTime(_ store: any Store) async throws {
        let events = times.enumerated().map { event($0, time: $1) }
        for event in events { try await store.record(event) }
        let expected: [(AuditCondition, [Int])] = [
            (.init(since: times[1]), [0, 1, 2, 3, 4]), (.init(since: times[3]), [0, 2, 3, 4]),
            (.init(until: times[3]), [1]), (.init(until: times[1]), []),
            (.init(since: times[0], until: times[4]), [0, 2]),
            (.init(since: times[4], until: times[4]), []), (.init(since: times[4].addingTimeInterval(1)), []),
            (.init(since: times[1], until: times[0], subject: "ci:a"), [1, 3]),
        ]
        for (condition, numbers) in expected {
            let last = try await store.auditRecords(condition, before: nil, limit: 1000)
            try expect(last.records.map(\.event), are: numbers.reversed().map { events[$0] })
            let first = try await store.auditRecords(condition, after: 0, limit: 1000)
            try expect(first.records.map(\.event), are: numbers.map { events[$0] })
        }
    }
}
