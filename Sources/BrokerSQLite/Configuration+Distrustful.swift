import Broker
import CSQLite
import Dispatch
import GRDB
import GRDBSQLite

extension Configuration {
    /// That of every connection to a store: whoever could write the file has put nothing in that runs, and no row that a
    /// broker does not make fills the memory.
    /// - Parameter label: of the connection's queue.
    static func distrustful(_ label: String, readonly: Bool = false, busyTimeout: Duration) -> Configuration {
        var configuration = Configuration()
        configuration.label = label
        configuration.qos = .utility
        configuration.readonly = readonly
        configuration.busyMode = .timeout(busyTimeout.seconds)
        // GRDB would end the process over a transaction that could not be rolled back; `RecordWriter` tries again.
        configuration.allowsUnsafeTransactions = true
        configuration.prepareDatabase { try Distrust.apply(to: $0) }
        return configuration
    }
}

/// What a connection does not do, whatever the file says.
enum Distrust {
    /// In bytes, of a row, a text or a blob. The longest that a broker writes has less than a tenth.
    static let maximumLength: CInt = 16 << 20

    /// - Throws: `.unavailable` where this SQLite cannot be told.
    static func apply(to db: Database) throws {
        let options = [
            (SQLITE_DBCONFIG_ENABLE_TRIGGER, "triggers"), (SQLITE_DBCONFIG_ENABLE_VIEW, "views"),
            (SQLITE_DBCONFIG_TRUSTED_SCHEMA, "functions that the schema calls"),
        ]
        guard let connection = db.sqliteConnection else { return }
        for (option, what) in options {
            guard daypass_sqlite_option(UnsafeMutableRawPointer(connection), option, 0) == 0 else {
                throw StoreFailure(.unavailable, "open the store", cause: "this SQLite cannot do without \(what)")
            }
        }
        sqlite3_limit(connection, SQLITE_LIMIT_LENGTH, maximumLength)
    }
}
