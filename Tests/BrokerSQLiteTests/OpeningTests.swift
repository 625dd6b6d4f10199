import Broker
import BrokerTesting
import Foundation
import GRDB
import JOSE
import Testing

@testable import BrokerSQLite

@Suite struct `Opening the SQLite store` {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    /// What opening fails with.
    private func failure(_ opening: SQLiteStore.Opening = .existing) -> StoreFailure? {
        #expect(throws: StoreFailure.self) { try folder.open(opening) }
    }

    @Test func `makes its files for their owner alone, whatever the umask`() async throws {
        let before = umask(0)
        defer { umask(before) }
        let store = try folder.open()
        try await store.record(Sample.refusal())
        for suffix in ["", "-wal", "-shm", ".lock"] { #expect(mode(of: folder.file + suffix) == 0o600) }
        await store.close()
    }

    @Test func `refuses a missing file unless it is to be made`() {
        let failure = failure()
        #expect(failure?.code == .unavailable)
        #expect(
            failure?.cause.hasSuffix(
                "/daypass.db cannot be reached: No such file or directory; `daypassd init` makes it") == true)
        #expect(mode(of: folder.file) == nil)
    }

    @Test func `refuses a missing folder in words`() {
        let path = folder.path + "/missing/daypass.db"
        let failure = #expect(throws: StoreFailure.self) { try SQLiteStore(path: path, .creating, logger: .silent) }
        #expect(failure?.cause == "the folder \(folder.path)/missing cannot be reached: No such file or directory")
    }

    @Test func `refuses a folder in the place of the file`() throws {
        try FileManager.default.createDirectory(atPath: folder.file, withIntermediateDirectories: false)
        #expect(failure(.creating)?.cause.hasSuffix("/daypass.db is not a file") == true)
    }

    @Test func `refuses an emptied file, which would be a store without keys`() throws {
        try folder.write([])
        #expect(failure()?.code == .unreadable)
        #expect(failure()?.cause.hasSuffix("/daypass.db is empty") == true)
    }

    @Test func `refuses a file of a newer version in words and leaves it alone`() async throws {
        await (try folder.open()).close()
        try await folder.connect().write { try $0.execute(sql: "PRAGMA user_version = \(Schema.version + 1)") }
        let before = try folder.contents()
        for opening in [SQLiteStore.Opening.existing, .creating] {
            let failure = failure(opening)
            #expect(failure?.code == .unreadable)
            let expected =
                "/daypass.db was made by a newer version of Daypass (schema \(Schema.version + 1); "
                + "this one knows \(Schema.version))"
            #expect(failure?.cause.hasSuffix(expected) == true)
        }
        #expect(try folder.contents() == before)
    }

    @Test func `refuses a database of another program in words and leaves it alone`() async throws {
        try await folder.connect().write { try $0.execute(sql: "CREATE TABLE notes (text TEXT)") }
        let before = try folder.contents()
        for opening in [SQLiteStore.Opening.existing, .creating] {
            let failure = failure(opening)
            #expect(failure?.code == .unreadable)
            #expect(failure?.cause.hasSuffix("/daypass.db is an SQLite database, but not one of Daypass") == true)
        }
        #expect(try folder.contents() == before)
        #expect(mode(of: folder.file + "-wal") == nil)
    }

    @Test func `takes a file that was made but never filled for a new one`() async throws {
        try folder.write([])
        let store = try folder.open(.creating)
        try await store.record(Sample.refusal())
        await store.close()
    }

    @Test func `refuses a file that is no database, naming it`() throws {
        try folder.write(Array("server:\n  listen: 127.0.0.1\n".utf8) + Array(repeating: 0x20, count: 8192))
        for opening in [SQLiteStore.Opening.existing, .creating] {
            let failure = failure(opening)
            #expect(failure?.code == .unreadable)
            #expect(failure?.cause.contains("/daypass.db: file is not a database") == true)
        }
    }

    @Test(arguments: [1, 50, 99, 100, 4095, 4096, 9000])
    func `refuses a truncated file, naming it`(_ length: Int) async throws {
        let store = try folder.open()
        #expect(await store.recordAll((0..<50).map { Sample.session("s\($0)") }).isEmpty)
        await store.close()
        let whole = try folder.contents()
        try #require(whole.count > length)
        try folder.write(Array(whole.prefix(length)))
        let failure = failure()
        #expect(failure?.code == .unreadable)
        #expect(failure?.cause.contains("/daypass.db") == true)
    }

    @Test func `reports overwritten pages as unreadable and does not trap`() async throws {
        let event = Sample.grant(session: "s1")
        let store = try folder.open()
        try await store.record(Sample.session("s1"), event)
        try await store.insertFirstSigningKeys([Sample.key("k1", .active)])
        await store.close()
        var bytes = try folder.contents()
        for index in 4096..<bytes.count { bytes[index] = 0xA5 }
        try folder.write(bytes)
        let failure = await #expect(throws: StoreFailure.self) {
            let store = try folder.open(.existing)
            _ = try await store.signingKeys()
        }
        #expect(failure?.code == .unreadable)
    }

    @Test(arguments: ["NULL", "'yesterday'", "x'00'", "1.5"])
    func `reports a time that is no number as unreadable and does not trap`(value: String) async throws {
        let store = try folder.open()
        try await store.insertFirstSigningKeys([Sample.key("k1", .active)])
        // As another program could leave it: without the types and constraints that our table has.
        try await folder.connect().write {
            try $0.execute(
                sql: """
                    CREATE TABLE loose AS SELECT * FROM signing_keys;
                    DROP TABLE signing_keys;
                    ALTER TABLE loose RENAME TO signing_keys;
                    UPDATE signing_keys SET created = \(value);
                    """)
        }
        let failure = await #expect(throws: StoreFailure.self) { _ = try await store.signingKeys() }
        #expect(failure?.code == .unreadable)
        await store.close()
    }

    @Test func `refuses a store without one of its tables`() async throws {
        await (try folder.open()).close()
        try await folder.connect().write { try $0.execute(sql: "DROP TABLE sessions") }
        #expect(failure()?.cause.hasSuffix("/daypass.db lacks the table sessions") == true)
    }

    @Test func `refuses a second server on the same file in words, also through a link`() async throws {
        let store = try folder.open()
        #expect(failure()?.code == .unavailable)
        #expect(failure()?.cause == "another daypassd has \(store.path) open")
        let link = folder.path + "/link.db"
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: folder.file)
        #expect(throws: StoreFailure.self) { try SQLiteStore(path: link, logger: .silent) }
        // A refused one takes nothing away from the first.
        try await store.record(Sample.refusal())
        await store.close()
        await (try folder.open(.existing)).close()
    }

    @Test func `other programs may read it while it is open`() async throws {
        let store = try folder.open()
        try await store.record(Sample.refusal())
        #expect(try folder.number("SELECT count(*) FROM audit") == 1)
        await store.close()
    }

    @Test func `syncs every commit`() async throws {
        let store = try folder.open()
        let settings = try await store.perform("read the settings") { db in
            try ["synchronous", "foreign_keys"].map { try Int.fetchOne(db, sql: "PRAGMA \($0)") }
        }
        #expect(settings == [2, 1])
        try await store.perform("verify") { try Connection.verifyDurable($0) }
        await store.close()
    }

    @Test func `turns erasing of what is deleted on where SQLite was built without`() async throws {
        await (try folder.open()).close()
        let setting = try folder.connect().inDatabase { db in
            _ = try Int.fetchOne(db, sql: "PRAGMA secure_delete = OFF")
            try Connection.makeDurable(db)
            return try Int.fetchOne(db, sql: "PRAGMA secure_delete")
        }
        #expect(setting == 1)
    }

    @Test(
        arguments: [
            "PRAGMA synchronous = NORMAL", "PRAGMA foreign_keys = OFF", "PRAGMA journal_mode = DELETE",
            "PRAGMA secure_delete = OFF", "PRAGMA secure_delete = FAST",
        ])
    func `refuses a connection that would not`(_ setting: String) async throws {
        await (try folder.open()).close()
        let failure = try folder.connect().inDatabase { db in
            try Connection.makeDurable(db)
            try db.execute(sql: setting)
            return #expect(throws: StoreFailure.self) { try Connection.verifyDurable(db) }
        }
        #expect(failure?.cause.hasPrefix("SQLite does not keep what it is given") == true)
    }

    @Test func `refuses a database that cannot have a write-ahead log`() throws {
        try DatabaseQueue().inDatabase { db in
            _ = #expect(throws: StoreFailure.self) { try Connection.makeDurable(db) }
        }
    }

    @Test func `a migration that fails leaves the file as it was`() throws {
        let connection = try folder.connect()
        try connection.inDatabase { db in
            // The last of the first migration's statements fails on it.
            try db.execute(sql: "CREATE TABLE other (a); CREATE INDEX audit_trace ON other (a)")
            #expect(throws: DatabaseError.self) { try Schema.migrate(db) }
            #expect(try Int.fetchOne(db, sql: "PRAGMA user_version") == 0)
            #expect(try Int.fetchOne(db, sql: "PRAGMA application_id") == 0)
            #expect(
                try Bool.fetchOne(db, sql: "SELECT count(*) = 0 FROM sqlite_schema WHERE name = 'sessions'") == true)
        }
    }
}
