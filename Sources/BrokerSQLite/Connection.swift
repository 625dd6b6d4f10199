import Broker
import Dispatch
import GRDB
import GRDBSQLite
import Logging

/// How the store's connection is opened.
enum Connection {
    /// A connection to an up-to-date store that syncs every commit.
    ///
    /// Nothing is written before the file is known to be ours.
    static func open(
        _ path: String, _ opening: SQLiteStore.Opening, busyTimeout: Duration, logger: Logger
    ) throws(StoreFailure) -> DatabaseQueue {
        do {
            let connection = try DatabaseQueue(path: path, configuration: configuration(busyTimeout: busyTimeout))
            try connection.inDatabase { db in
                try Schema.recognise(db, path, opening)
                try SchemaComparison.verify(db, path)
                guard sqlite3_db_readonly(db.sqliteConnection, "main") == 0 else {
                    throw StoreFailure(.unavailable, "open the store", cause: "\(path) cannot be written")
                }
                try makeDurable(db)
                try Schema.migrate(db, logger: logger)
                let trail = AuditTrail(clock: SystemClock())
                _ = try RecordWriter(db, trail.appender(db))
            }
            return connection
        } catch {
            throw StoreFailure("open the store", about: path, reporting: error)
        }
    }

    /// Has every commit synced to the disk before it returns, and makes sure of it: GRDB sets `synchronous` by itself
    /// where it is the one to turn on the write-ahead log, and then a power failure would lose what was acknowledged.
    static func makeDurable(_ db: Database) throws {
        _ = try String.fetchOne(db, sql: "PRAGMA journal_mode = WAL")
        try db.execute(sql: "PRAGMA synchronous = FULL")
        // What retention deleted is not to be found in the file: most distributions build SQLite so, others do not.
        _ = try Int.fetchOne(db, sql: "PRAGMA secure_delete = ON")
        // A reader that stays long lets the log grow; this gives the room back afterwards.
        try db.execute(sql: "PRAGMA journal_size_limit = \(64 << 20)")
        try verifyDurable(db)
    }

    /// - Throws: `.unavailable` unless commits are synced, referential integrity is kept and what is deleted is erased.
    static func verifyDurable(_ db: Database) throws {
        let journalMode = try String.fetchOne(db, sql: "PRAGMA journal_mode") ?? "none"
        let synchronous = try Int.fetchOne(db, sql: "PRAGMA synchronous") ?? -1
        let foreignKeys = try Int.fetchOne(db, sql: "PRAGMA foreign_keys") ?? -1
        let secureDelete = try Int.fetchOne(db, sql: "PRAGMA secure_delete") ?? -1
        guard journalMode == "wal", synchronous == 2, foreignKeys == 1, secureDelete == 1 else {
            throw StoreFailure(
                .unavailable, "open the store",
                cause: "SQLite does not keep what it is given: journal_mode=\(journalMode) (wal is needed), "
                    + "synchronous=\(synchronous) (2), foreign_keys=\(foreignKeys) (1), "
                    + "secure_delete=\(secureDelete) (1)")
        }
    }

    private static func configuration(busyTimeout: Duration) -> Configuration {
        var configuration = Configuration.distrustful("daypass.store", busyTimeout: busyTimeout)
        configuration.foreignKeysEnabled = true
        return configuration
    }
}
