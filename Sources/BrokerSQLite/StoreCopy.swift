import Broker
import FoundationEssentials
import GRDB

/// Copies of a store, made by a second connection that only reads: whoever writes the store meanwhile is not held up,
/// since in WAL mode a reader looks at one moment and blocks nobody.
enum StoreCopy {
    /// How long it waits for what holds the whole file, which nothing of ours does for longer than a moment.
    private static let busyTimeout: Duration = .seconds(5)

    /// Writes what the store at `source` holds at this moment, its write-ahead log included, to the empty file `target`.
    ///
    /// `VACUUM INTO` and not the online backup: that one begins again whenever another process commits between two
    /// of its steps, and copies whatever stands in pages that are no longer used.
    static func make(of source: String, at target: String, checking: Bool) throws(StoreFailure) {
        do {
            let connection = try DatabaseQueue(path: source, configuration: configuration(readonly: true))
            try connection.inDatabase { db in
                try Schema.recognise(db, source, .existing)
                try SchemaComparison.verify(db, source)
                if checking { try check(db) }
                try db.execute(sql: "VACUUM INTO ?", arguments: [target])
            }
            try connection.close()
        } catch {
            throw StoreFailure("copy the store", about: source, reporting: error)
        }
    }

    /// What a copy says of itself.
    struct Contents {
        /// Nil in one of a version that knew no generations.
        let generation: StoreGeneration?
        let lastRecord: Date?
        /// The last number of each provider's credential.
        var credentials: [CredentialPosition] = []
    }

    /// Looks through the whole copy, and notes in it when it was made.
    static func finish(_ path: String, madeAt now: Date) throws(StoreFailure) -> Contents {
        do {
            let connection = try DatabaseQueue(path: path, configuration: configuration())
            let contents = try connection.inDatabase { db in
                // Nobody else knows the file yet, and one that is not finished is thrown away.
                _ = try String.fetchOne(db, sql: "PRAGMA journal_mode = MEMORY")
                try check(db)
                let hasGeneration = try db.tableExists("store")
                if hasGeneration {
                    try db.execute(sql: "UPDATE store SET backed_up = ?", arguments: [now.milliseconds])
                }
                return Contents(
                    generation: hasGeneration ? try StoreGeneration(db) : nil, lastRecord: try lastRecord(db))
            }
            try connection.close()
            return contents
        } catch {
            throw StoreFailure("check the copy", about: path, reporting: error)
        }
    }

    /// The same of a store that nobody has open and that may be damaged; nil where it does not say.
    static func contents(of path: String) -> Contents? {
        let connection = try? DatabaseQueue(path: path, configuration: configuration(readonly: true))
        return try? connection?.read { db in
            try Schema.recognise(db, path, .existing)
            return Contents(
                generation: try db.tableExists("store") ? StoreGeneration(db) : nil, lastRecord: try lastRecord(db),
                credentials: (try? CredentialPosition.lastOfEach(db)) ?? [])
        }
    }

    private static func configuration(readonly: Bool = false) -> Configuration {
        .distrustful("daypass.copy", readonly: readonly, busyTimeout: busyTimeout)
    }

    private static func check(_ db: Database) throws {
        let found = try String.fetchOne(db, sql: "PRAGMA quick_check(1)") ?? "no answer"
        guard found == "ok" else {
            throw StoreFailure(.unreadable, "check the store", cause: "it is damaged: \(found)")
        }
    }

    private static func lastRecord(_ db: Database) throws -> Date? {
        try Row.fetchCursor(db, sql: "SELECT time FROM audit ORDER BY sequence DESC LIMIT 1")
            .mapToArray { try $0.date(0) }.first
    }
}
