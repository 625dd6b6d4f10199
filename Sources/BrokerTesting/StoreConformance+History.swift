import Broker
import FoundationEssentials
import JOSE

// What was recorded, read again.
extension StoreConformance {
    /// Records of `count` refusals, a minute apart, with one of something else after each.
    private static func fill(_ store: any Store, _ count: Int) async throws -> [AuditEvent] {
        var events: [AuditEvent] = []
        for minute in 0..<count {
            let event = Sample.refusal(time: Sample.time.addingTimeInterval(Double(minute) * 60))
            try await store.record(event)
            try await store.record(Sample.keyEvent(.keyRotated))
            events.append(event)
        }
        return events
    }

    private static func read(
        _ store: any Store, _ part: HistoryPart, atMost count: Int = .max
    ) async throws -> (events: [AuditEvent], next: HistoryPosition?) {
        let read = try await store.exchanges(part, into: [AuditEvent]()) { events, event in
            events.append(event)
            return events.count < count
        }
        return (read.state, read.next)
    }

    static func exchangesByTime(_ store: any Store) async throws {
        let none = try await read(store, HistoryPart(since: .distantPast))
        try expect(none.events.isEmpty && none.next == nil, "an empty store has exchanges")
        let grant = Sample.grant(session: "s1")
        try await store.record(Sample.session("s1"), grant)
        let events = try await fill(store, 60)
        // What a clock that was behind made.
        let early = Sample.refusal(time: Sample.time.addingTimeInterval(-86_400))
        try await store.record(early)

        try expect(try await read(store, HistoryPart(since: .distantPast)).events, are: [grant] + events + [early])
        for first in [0, 1, 30, 59] {
            let found = try await read(store, HistoryPart(since: events[first].time))
            try expect(found.events, are: (first == 0 ? [grant] : []) + events[first...])
            try expect(found.next == nil, "there is a part behind the last")
        }
        let part = HistoryPart(since: events[10].time, until: events[20].time)
        try expect(try await read(store, part).events, are: Array(events[10..<20]))
        let later = HistoryPart(since: events[59].time.addingTimeInterval(1))
        try expect(try await read(store, later).events, are: [])

        var (parts, position): ([AuditEvent], HistoryPosition?) = ([], nil)
        var count = 0
        repeat {
            let part = HistoryPart(since: .distantPast, position: position, limit: 7)
            let found = try await read(store, part)
            try expect(found.events.count <= 7, "a part has more rows than it may have")
            parts += found.events
            (position, count) = (found.next, count + 1)
            // Of what is recorded meanwhile nothing is read, and the end does not go away.
            try await store.record(Sample.refusal())
        } while position != nil && count < 100
        try expect(parts, are: [grant] + events + [early])
        try expect(count == 18, "\(count) parts of 7 rows")
    }

    static func exchangesUntilStopped(_ store: any Store) async throws {
        let events = try await fill(store, 5)
        let first = try await read(store, HistoryPart(since: .distantPast), atMost: 2)
        try expect(first.events, are: Array(events[..<2]))
        let rest = try await read(store, HistoryPart(since: .distantPast, position: first.next))
        try expect(rest.events, are: Array(events[2...]))
        try expect(rest.next == nil, "there is a part behind the last")
        // A position that somebody made up is no more than that.
        for position in [(0, Int64.max), (.max - 1, .max), (.max, .max)] as [(Int64, Int64)] {
            let part = HistoryPart(
                since: .distantPast, position: HistoryPosition(done: position.0, last: position.1))
            let found = try await read(store, part)
            try expect(found.events, are: position.0 == 0 ? events : [])
        }
    }
}
