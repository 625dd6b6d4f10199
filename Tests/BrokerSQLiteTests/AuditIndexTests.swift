import Broker
import BrokerTesting
import Foundation
import GRDB
import JOSE
import Testing

@testable import BrokerSQLite

@Suite(.timeLimit(.minutes(5))) struct `The index of audit records` {
    private static let subjects: [ExactString?] = [
        "ci:a", "ci:\u{e9}", "ci:e\u{301}", "ci:a\0", "", nil, "spiffe://prod.example.com/ns/a", "ci:\u{202E}",
    ]
    private static let kinds: [AuditEvent.Kind] = [.exchangeGranted, .exchangeRefused, .sessionRenewed]

    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    /// A record that shares each of its values with other ones; times go up and down.
    private static func event(_ number: Int) -> AuditEvent {
        AuditEvent(
            time: Sample.time.addingTimeInterval(Double(number / 1000 * 1000 - number % 7)), trace: TraceID(),
            kind: kinds[number % 3], issuer: Sample.issuer, subject: subjects[number % subjects.count],
            rule: number.isMultiple(of: 5) ? nil : ExactString("r\(number % 11)"),
            sessionID: ExactString("s\(number % 701)"), tokenID: ExactString("t\(number)"),
            details: ["number": .number(Double(number))])
    }

    private func fill(_ store: SQLiteStore, _ count: Int) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for caller in 0..<64 {
                group.addTask {
                    for number in stride(from: caller, to: count, by: 64) { try await store.record(Self.event(number)) }
                }
            }
            try await group.waitForAll()
        }
    }

    private func index(_ store: SQLiteStore) async throws {
        while try await store.indexAudit() {}
    }

    private func found(_ condition: AuditCondition, _ limit: Int, _ store: SQLiteStore) async throws -> [Int64] {
        var (found, before, isLast): ([Int64], Int64?, Bool) = ([], nil, false)
        while !isLast {
            let part = try await store.auditRecords(condition, before: before, limit: limit)
            found += part.records.map(\.sequence)
            (before, isLast) = (part.position, part.isLast)
        }
        return found
    }

    private static let conditions: [AuditCondition] =
        subjects.map { AuditCondition(subject: $0) } + kinds.map { AuditCondition(kind: $0) } + [
            .init(), .init(rule: "r3"), .init(rule: "r3", session: "s14"), .init(session: "s700"), .init(token: "t0"),
            .init(token: "t4999"), .init(token: "t5000"), .init(kind: .exchangeRefused, subject: "ci:a", rule: "r1"),
            .init(since: Sample.time.addingTimeInterval(2000)), .init(until: Sample.time.addingTimeInterval(1)),
            .init(since: Sample.time.addingTimeInterval(1000), until: Sample.time.addingTimeInterval(2000), rule: "r2"),
            .init(kind: .keyRotated), .init(subject: "ci"), .init(rule: "ci:a"),
        ]

    @Test func `finds what looking at every record finds, before and after it is made, in parts of any size`()
        async throws
    {
        let store = try folder.open()
        try await fill(store, 5000)
        let all = try await store.auditRecords(.init(), after: 0, limit: 10_000).records
        #expect(all.count == 5000)
        let expected = Self.conditions.map { condition in
            all.filter { condition.matches($0.event) }.map(\.sequence).reversed()
        }
        #expect(expected.allSatisfy { !$0.isEmpty } == false && expected.filter { $0.isEmpty }.count == 4)
        for limit in [10_000, 97] {
            for (condition, numbers) in zip(Self.conditions, expected) {
                #expect(try await found(condition, limit, store) == Array(numbers), "\(condition)")
            }
        }
        try await index(store)
        #expect(try folder.number("SELECT count(*) FROM audit_index") == 4 * 5)
        for limit in [10_000, 97, 1] where limit > 1 || expected[0].count < 1000 {
            for (condition, numbers) in zip(Self.conditions, expected) where limit > 1 || numbers.count < 50 {
                #expect(try await found(condition, limit, store) == Array(numbers), "\(condition)")
            }
        }
        // What comes afterwards is found too.
        let later = Self.event(3)
        try await store.record(later)
        #expect(try await found(.init(token: "t3"), 10, store).count == 2)
        await store.close()
    }

    @Test func `goes on over a gap in the numbers`() async throws {
        let store = try folder.open()
        try await fill(store, 1500)
        try await fill(store, 1500)
        try await store.perform("leave a gap") {
            try $0.execute(sql: "UPDATE audit SET sequence = sequence + 200000 WHERE sequence > 1500")
        }
        try await index(store)
        let last = try #require(try folder.number("SELECT max(last) FROM audit_index"))
        #expect(last >= 201_000)
        for number in [0, 1023, 1024, 1499] {
            #expect(try await found(.init(token: ExactString("t\(number)")), 10, store).count == 2)
        }
        #expect(try await found(.init(), 1000, store).count == 3000)
        var (position, count) = (Int64(0), 0)
        while true {
            let part = try await store.auditRecords(.init(), after: position, limit: 700)
            count += part.records.count
            position = part.position
            if part.isLast { break }
        }
        #expect(count == 3000)
        await store.close()
    }

    @Test func `only names candidates: with another one's entries nothing is found that does not meet the condition`()
        async throws
    {
        let store = try folder.open()
        try await fill(store, 1024)
        try await index(store)
        let (rule, subject) = (AuditSegment.number(.rule, 1), AuditSegment.number(.subject, 1))
        try await store.perform("lie") { db in
            let entries = try Data.fetchOne(db, sql: "SELECT entries FROM audit_index WHERE id = \(rule)")
            // Ends in half an entry.
            try db.execute(
                sql: "UPDATE audit_index SET entries = ? WHERE id = \(subject)",
                arguments: [entries.map { $0 + [1, 2] }])
        }
        let condition = AuditCondition(subject: "ci:a")
        let records = try await store.auditRecords(condition, before: nil, limit: 2000).records
        #expect(records.allSatisfy { condition.matches($0.event) })
        // Whoever exports looks at the records themselves.
        #expect(try await store.auditRecords(condition, after: 0, limit: 2000).records.count == 128)
        await store.close()
    }

    @Test func `forgets a segment once none of its records is kept`() async throws {
        let store = try folder.open()
        try await fill(store, 3000)
        try await index(store)
        try await store.perform("delete") { try $0.execute(sql: "DELETE FROM audit WHERE sequence <= 1500") }
        try await store.pruneAuditIndex()
        #expect(try folder.number("SELECT count(*) FROM audit_index") == 5)
        #expect(try await found(.init(), 1000, store).count == 1500)
        try await store.perform("delete") { try $0.execute(sql: "DELETE FROM audit") }
        try await store.pruneAuditIndex()
        #expect(try folder.number("SELECT count(*) FROM audit_index") == 0)
        #expect(try await found(.init(), 1000, store).isEmpty)
        #expect(try await store.auditRecords(.init(), after: 0, limit: 10).isLast)
        try await store.record(Self.event(1))
        #expect(try await found(.init(token: "t1"), 1000, store) == [3001])
        await store.close()
    }

    @Test func `is there again after the store was closed, and goes on behind it`() async throws {
        let first = try folder.open()
        try await fill(first, 1100)
        try await index(first)
        await first.close()
        #expect(!FileManager.default.fileExists(atPath: folder.file + "-wal"))
        let second = try folder.open(.existing)
        try await fill(second, 1100)
        try await index(second)
        #expect(try folder.number("SELECT count(*) FROM audit_index") == 2 * 5)
        #expect(try await found(.init(token: "t7"), 10, second).count == 2)
        await second.close()
        await #expect(throws: StoreFailure.self) { try await second.auditRecords(.init(), before: nil, limit: 1) }
        await #expect(throws: StoreFailure.self) { try await second.indexAudit() }
    }

    @Test func `a record that cannot be read is named by its number`() async throws {
        let store = try folder.open()
        try await fill(store, 3)
        try await store.perform("damage") { try $0.execute(sql: "UPDATE audit SET kind = 'other' WHERE sequence = 2") }
        let failure = await #expect(throws: StoreFailure.self) {
            try await store.auditRecords(.init(), after: 0, limit: 10)
        }
        #expect(failure?.code == .unreadable && failure?.cause.contains("audit record 2") == true)
        #expect(try await store.auditRecords(.init(), after: 2, limit: 10).records.map(\.sequence) == [3])
        await store.close()
    }
}
