import Broker
import BrokerTesting
import Dispatch
import Foundation
import GRDB
import Glibc
import JOSE
import Logging

@testable import BrokerSQLite

extension TemporaryFolder {
    /// Where tests keep their store.
    var file: String { path + "/daypass.db" }

    func open(
        _ opening: SQLiteStore.Opening = .creating, logger: Logger = .silent, clock: any BrokerClock = SystemClock(),
        waitingBound: Int = 4096, busyTimeout: Duration = .milliseconds(20)
    ) throws -> SQLiteStore {
        try SQLiteStore(
            path: file, opening, logger: logger, clock: clock, waitingBound: waitingBound, busyTimeout: busyTimeout)
    }

    /// A connection as another program would have it.
    func connect(readonly: Bool = false) throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.readonly = readonly
        configuration.allowsUnsafeTransactions = true
        return try DatabaseQueue(path: file, configuration: configuration)
    }

    /// The number that another program reads.
    func number(_ sql: String) throws -> Int? {
        try connect(readonly: true).read { try Int.fetchOne($0, sql: sql) }
    }

    func contents(of name: String = "daypass.db") throws -> [UInt8] {
        Array(try Data(contentsOf: URL(fileURLWithPath: path + "/" + name)))
    }

    func write(_ bytes: [UInt8]) throws {
        try Data(bytes).write(to: URL(fileURLWithPath: file))
    }
}

extension SQLiteStore {
    /// Makes each commit fail that has a record of the session `bad`.
    func failCommitsOfBadSessions() async throws {
        try await perform("make commits fail") { db in
            // A deferred constraint is looked at when the transaction is committed.
            try db.execute(
                sql: """
                    CREATE TABLE parents (id INTEGER PRIMARY KEY);
                    CREATE TABLE children (id REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED);
                    CREATE TEMP TRIGGER orphan AFTER INSERT ON main.audit WHEN new.session = 'bad'
                    BEGIN INSERT INTO children VALUES (1); END
                    """)
        }
    }
}

extension Logger {
    static var silent: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }
}

extension SQLiteStore {
    /// Returns once the store's queue is occupied; opening the gate frees it.
    func occupy() async -> Gate {
        let (started, gate) = (AsyncStream<Void>.makeStream(), Gate())
        Task {
            try await perform("occupy the queue") { _ in
                started.continuation.finish()
                gate.wait()
            }
        }
        for await _ in started.stream {}
        return gate
    }

    func waits(for count: Int) async {
        while commits.waitingCount < count { await Task.yield() }
    }

    /// Records `sessions` as one group.
    func recordGroup(_ sessions: [SessionRecord], details: JSONObject = [:]) async -> [String: StoreFailure] {
        let gate = await occupy()
        async let failures = recordAll(sessions, details: details)
        await waits(for: sessions.count)
        gate.open()
        return await failures
    }

    /// Records `sessions` at the same time.
    /// - Returns: the failures by session id.
    func recordAll(_ sessions: [SessionRecord], details: JSONObject = [:]) async -> [String: StoreFailure] {
        await withTaskGroup(of: (String, StoreFailure?).self) { group in
            for session in sessions {
                group.addTask {
                    do throws(StoreFailure) {
                        try await self.record(session, Sample.grant(session: session.id.string, details: details))
                        return (session.id.string, nil)
                    } catch {
                        return (session.id.string, error)
                    }
                }
            }
            return await group.reduce(into: [:]) { failures, next in
                // One of several of a name fails: in whichever order they end.
                if let failure = next.1 { failures[next.0] = failure }
            }
        }
    }
}

/// Blocks a thread that is not of Swift's pool.
final class Gate: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)

    func wait() { semaphore.wait() }
    func open() { semaphore.signal() }
}

/// The mode bits of the file, or nil where there is none.
func mode(of path: String) -> UInt32? {
    var status = stat()
    return stat(path, &status) == 0 ? status.st_mode & 0o777 : nil
}
