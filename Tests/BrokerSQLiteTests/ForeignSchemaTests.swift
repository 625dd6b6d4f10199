import Broker
import BrokerTesting
import Foundation
import GRDB
import Testing

@testable import BrokerSQLite

/// What somebody who can write the file put in besides rows.
@Suite struct `A store with something that Daypass did not make` {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private static let swallowing =
        "CREATE TRIGGER u AFTER INSERT ON revocations BEGIN DELETE FROM revocations WHERE sequence = new.sequence; END"
    private static let foreign: [(sql: String, words: String)] = [
        (swallowing, "has the trigger u, which Daypass did not make"),
        ("CREATE VIEW v AS SELECT 1", "has the view v, which"),
        ("CREATE TABLE t (a)", "has the table t, which"),
        ("CREATE INDEX i ON audit (kind)", "has the index i, which"),
        (
            "CREATE TABLE x AS SELECT * FROM audit_sink; DROP TABLE audit_sink; ALTER TABLE x RENAME TO audit_sink",
            "the table audit_sink in"
        ),
        (
            """
            PRAGMA writable_schema = ON;
            UPDATE sqlite_schema SET sql = replace(sql, 'blocks INTEGER NOT NULL', 'blocks INTEGER DEFAULT 0')
                WHERE name = 'revocations'
            """, "the table revocations in"
        ),
        ("DROP INDEX audit_trace", "lacks the index audit_trace"),
    ]

    private func change(_ path: String, _ sql: String) throws {
        var configuration = Configuration()
        configuration.allowsUnsafeTransactions = true
        let connection = try DatabaseQueue(path: path, configuration: configuration)
        try connection.inDatabase { try $0.execute(sql: sql) }
        try connection.close()
    }

    @Test(arguments: foreign)
    func `is not opened, backed up or restored, and told of in words`(_ sql: String, _ words: String) async throws {
        let store = try folder.open()
        try await store.record(Sample.refusal())
        await store.close()
        let backup = folder.path + "/backup.db"
        _ = try StoreBackup(of: folder.file, to: backup, at: Sample.time)
        try change(folder.file, sql)
        let opened = #expect(throws: StoreFailure.self) { try folder.open(.existing) }
        #expect(opened?.code == .unreadable && opened?.cause.contains(words) == true, "\(String(describing: opened))")
        let copied = #expect(throws: StoreFailure.self) {
            try StoreBackup(of: folder.file, to: folder.path + "/other.db", at: Sample.time)
        }
        #expect(copied?.code == .unreadable && copied?.cause.contains(words) == true, "\(String(describing: copied))")
        try change(backup, sql)
        let restored = #expect(throws: StoreFailure.self) {
            try StoreRestore(from: backup, to: folder.path + "/new.db", replacing: false, logger: .silent)
        }
        #expect(restored?.code == .unreadable && restored?.cause.contains(words) == true)
        #expect(mode(of: folder.path + "/new.db") == nil)
    }

    @Test func `a trigger that is put in while the broker runs does nothing`() async throws {
        let store = try folder.open()
        try await store.record([Sample.revocation(1)])
        try await folder.connect().writeWithoutTransaction { try $0.execute(sql: Self.swallowing) }
        try await store.record([Sample.revocation(2)])
        #expect(try await store.revocations().map(\.sequence) == [1, 2])
        await store.close()
    }

    @Test func `no connection runs triggers or views, or reads what is too long`() async throws {
        let store = try folder.open()
        try await folder.connect().writeWithoutTransaction { db in
            try db.execute(
                sql: "CREATE VIEW v AS SELECT 1; CREATE TABLE t (a); INSERT INTO t VALUES (zeroblob(17000000))")
        }
        let questions: [@Sendable (Database) throws -> Void] = [
            { _ = try Int.fetchOne($0, sql: "SELECT * FROM v") }, { _ = try Data.fetchOne($0, sql: "SELECT a FROM t") },
        ]
        for question in questions {
            await #expect(throws: StoreFailure.self) { try await store.perform("ask", question) }
            await #expect(throws: StoreFailure.self) { try await store.reading.perform("ask", question) }
            await #expect(throws: StoreFailure.self) { try await store.reading.performAlone("ask", question) }
        }
        await store.close()
    }

    @Test(arguments: 1...Schema.version) func `a store of any older version is brought up to date`(_ version: Int)
        async throws
    {
        let connection = try folder.connect()
        try await connection.writeWithoutTransaction { try Schema.migrate($0, to: version) }
        try connection.close()
        let store = try folder.open(.existing)
        try await store.record(Sample.refusal())
        await store.close()
    }
}
