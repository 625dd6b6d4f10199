import GRDB
import GRDBSQLite

/// A row that a statement stands on, read by SQLite itself: what is read by the hundred thousand is not made into objects.
struct RawRow {
    fileprivate let statement: OpaquePointer

    func isNull(_ column: CInt) -> Bool { sqlite3_column_type(statement, column) == SQLITE_NULL }

    func integer(_ column: CInt) -> Int64 { sqlite3_column_int64(statement, column) }

    /// Text or bytes as they are stored, good until the statement moves; nil for NULL.
    func withBytes<Value>(_ column: CInt, _ body: (Span<UInt8>?) throws -> Value) rethrows -> Value {
        guard !isNull(column) else { return try body(nil) }
        let start = sqlite3_column_blob(statement, column)
        let bytes = UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(statement, column)))
        return try bytes.withMemoryRebound(to: UInt8.self) { try body(Span(_unsafeElements: $0)) }
    }

    func bytes(_ column: CInt) -> [UInt8]? {
        guard !isNull(column), let start = sqlite3_column_blob(statement, column) else {
            return isNull(column) ? nil : []
        }
        return Array(UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(statement, column))))
    }
}

extension Statement {
    /// Steps over its rows until `body` returns false.
    func rows(binding bind: (inout Binder) -> Void, _ body: (RawRow) throws -> Bool) throws {
        defer { sqlite3_reset(sqliteStatement) }
        var binder = Binder(sqliteStatement)
        bind(&binder)
        guard binder.code == SQLITE_OK else { throw DatabaseError(resultCode: ResultCode(rawValue: binder.code)) }
        let row = RawRow(statement: sqliteStatement)
        while true {
            let code = sqlite3_step(sqliteStatement)
            guard code != SQLITE_DONE else { return }
            guard code == SQLITE_ROW else {
                throw DatabaseError(
                    resultCode: ResultCode(rawValue: code),
                    message: sqlite3_errmsg(sqlite3_db_handle(sqliteStatement)).map { String(cString: $0) })
            }
            guard try body(row) else { return }
        }
    }
}
