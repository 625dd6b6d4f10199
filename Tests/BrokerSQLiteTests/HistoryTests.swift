import Broker
import BrokerTesting
import Foundation
import GRDB
import JOSE
import Testing

@testable import BrokerSQLite

/// Recorded exchanges read again, from a file that is written meanwhile.
@Suite struct HistoryTests {
    private static let times = Sample.time

    /// `count` refusals a second apart, written as another program would: quickly.
    private func fill(_ folder: TemporaryFolder, _ count: Int, except gaps: (Int) -> Bool = { _ in false }) throws {
        let connection = try folder.connect()
        try connection.inDatabase { db in
            try db.inTransaction {
                for number in 1...count where !gaps(number) {
                    try db.execute(
                        sql: """
                            INSERT INTO audit (sequence, time, trace, kind, issuer, subject, reason, details)
                            VALUES (?, ?, ?, 'exchange.refused', 'ci', 'ci:a', 'no_rule', '{}')
                            """,
                        arguments: [
                            number, Sample.time.addingTimeInterval(Double(number)).milliseconds, TraceID().description,
                        ])
                }
                return .commit
            }
        }
        try connection.close()
    }

    private func damage(_ folder: TemporaryFolder) throws {
        try folder.connect().inDatabase { try $0.execute(sql: "UPDATE audit SET details = '{' WHERE sequence = 2") }
    }

    private func count(_ store: SQLiteStore, since second: Double, until: Double? = nil) async throws -> Int {
        let part = HistoryPart(
            since: Sample.time.addingTimeInterval(second), until: until.map(Sample.time.addingTimeInterval),
            limit: .max)
        let read = try await store.exchanges(part, into: 0) { count, _ in
            count += 1
            return true
        }
        #expect(read.next == nil)
        return read.state
    }

    @Test func `finds where a time begins in many rows, with gaps where others were deleted`() async throws {
        let folder = try TemporaryFolder()
        let store = try folder.open()
        try fill(folder, 12_000) { (2...4999).contains($0) || $0.isMultiple(of: 7) }
        #expect(try await count(store, since: 0) == folder.number("SELECT count(*) FROM audit"))
        for second in [1, 2, 5000, 5001, 7000, 11_999, 12_000, 12_001] {
            let sequence = "SELECT count(*) FROM audit WHERE sequence >= \(second)"
            #expect(try await count(store, since: Double(second)) == folder.number(sequence), "\(second)")
        }
        #expect(
            try await count(store, since: 5000, until: 5010)
                == folder.number(
                    "SELECT count(*) FROM audit WHERE sequence >= 5000 AND sequence < 5010"))
        await store.close()
    }

    @Test func `who reads holds up nobody who records`() async throws {
        let folder = try TemporaryFolder()
        let store = try folder.open()
        try fill(folder, 100)
        let gate = Gate()
        let started = AsyncStream<Void>.makeStream()
        async let reading = store.exchanges(HistoryPart(since: .distantPast), into: 0) { count, _ in
            if count == 0 {
                started.continuation.finish()
                gate.wait()
            }
            count += 1
            return true
        }
        for await _ in started.stream {}
        // In the midst of it.
        try await store.record(Sample.session("s1"), Sample.grant(session: "s1"))
        gate.open()
        #expect(try await reading.state == 100)
        await store.close()
    }

    @Test func `a record that cannot be read is an error, and no exchange that is passed over`() async throws {
        let folder = try TemporaryFolder()
        let store = try folder.open()
        try fill(folder, 3)
        try damage(folder)
        await #expect(throws: StoreFailure.self) { _ = try await count(store, since: 0) }
        await store.close()
    }
}
