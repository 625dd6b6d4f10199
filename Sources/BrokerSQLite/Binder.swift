import GRDB
import GRDBSQLite
import JOSE

/// Binds the values of one row by position.
///
/// GRDB binds text up to its first NUL, and what decides about trust must not be shortened: here its length counts.
struct Binder {
    private let statement: OpaquePointer
    private var index: CInt = 0
    private(set) var code = SQLITE_OK

    init(_ statement: OpaquePointer) {
        self.statement = statement
    }

    mutating func integer(_ value: Int64) {
        index += 1
        note(sqlite3_bind_int64(statement, index, value))
    }

    mutating func text(_ value: ExactString?) {
        text(value?.string)
    }

    mutating func text(_ value: String?) {
        guard var value else {
            index += 1
            return note(sqlite3_bind_null(statement, index))
        }
        value.withUTF8 { text(bytes: UnsafeRawBufferPointer($0)) }
    }

    /// Text that is in UTF-8 already.
    mutating func text(utf8 bytes: [UInt8]) {
        bytes.withUnsafeBytes { text(bytes: $0) }
    }

    private mutating func text(bytes: UnsafeRawBufferPointer) {
        index += 1
        guard let start = bytes.baseAddress, !bytes.isEmpty else {
            // A null pointer would be NULL, and not the empty text.
            return note(sqlite3_bind_text(statement, index, "", 0, Self.copied))
        }
        note(
            sqlite3_bind_text64(
                statement, index, start.assumingMemoryBound(to: CChar.self), UInt64(bytes.count), Self.copied,
                UInt8(SQLITE_UTF8)))
    }

    mutating func blob(_ bytes: [UInt8]) {
        index += 1
        note(
            bytes.withUnsafeBytes {
                guard let start = $0.baseAddress, !bytes.isEmpty else {
                    return sqlite3_bind_zeroblob(statement, index, 0)
                }
                return sqlite3_bind_blob64(statement, index, start, UInt64($0.count), Self.copied)
            })
    }

    private mutating func note(_ result: CInt) {
        if code == SQLITE_OK { code = result }
    }

    /// SQLITE_TRANSIENT, a macro that Swift does not see: SQLite makes its own copy.
    private static var copied: sqlite3_destructor_type { unsafeBitCast(-1, to: sqlite3_destructor_type.self) }
}
