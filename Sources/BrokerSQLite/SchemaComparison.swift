import Broker
import GRDB

/// Compares what a file holds besides rows with what the migrations make. A trigger, a view or a table that is made
/// otherwise would change what is written, for as long as the file is used, and comes along into backups.
enum SchemaComparison {
    /// A table, an index, a trigger or a view; as they are stored, compared byte by byte.
    private struct Object: Hashable {
        let type: [UInt8]
        let name: [UInt8]
        let table: [UInt8]
        /// How it was made, each run of white space as one blank; nil for what SQLite makes by itself.
        let definition: [UInt8]?

        init(_ row: Row) {
            (type, name, table) = (row.bytes(0) ?? [], row.bytes(1) ?? [], row.bytes(2) ?? [])
            let blanks = Set(" \t\r\n".utf8)
            definition = row.bytes(3).map { bytes in
                bytes.split(whereSeparator: blanks.contains).reduce(into: []) { $0 += $1 + [UInt8(ascii: " ")] }
            }
        }

        var words: String {
            "\(String(decoding: type, as: UTF8.self)) \(String(decoding: name, as: UTF8.self))"
        }
    }

    /// - Throws: `.unreadable` where the file has anything that the migrations up to its version do not make, or lacks
    ///   something; never for a file without a version.
    static func verify(_ db: Database, _ path: String) throws {
        let version = try Schema.userVersion(db)
        let (found, expected) = (try objects(db), try objects(of: version))
        let (strange, missing) = (words(found.subtracting(expected)), words(expected.subtracting(found)))
        if let missing = missing.first(where: { !strange.contains($0) }) {
            throw failure("\(path) lacks the \(missing)")
        }
        guard let strange = strange.first else { return }
        throw failure(
            missing.contains(strange)
                ? "the \(strange) in \(path) is not as Daypass makes it"
                : "\(path) has the \(strange), which Daypass did not make")
    }

    /// What SQLite makes by itself comes last.
    private static func words(_ objects: Set<Object>) -> [String] {
        let (made, automatic) = (objects.filter { $0.definition != nil }, objects.filter { $0.definition == nil })
        return made.map(\.words).sorted() + automatic.map(\.words).sorted()
    }

    private static func failure(_ cause: String) -> StoreFailure {
        StoreFailure(.unreadable, "look at the tables of the store", cause: cause)
    }

    private static func objects(_ db: Database) throws -> Set<Object> {
        let rows = try Row.fetchCursor(db, sql: "SELECT type, name, tbl_name, sql FROM sqlite_schema")
        return Set(try rows.mapToArray { Object($0) })
    }

    private static func objects(of version: Int) throws -> Set<Object> {
        try DatabaseQueue().inDatabase { db in
            try Schema.migrate(db, to: version)
            return try objects(db)
        }
    }
}
