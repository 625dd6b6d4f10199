import Broker
import FoundationEssentials
import GRDB
import JOSE

/// Rows of `audit_checkpoints`.
extension Checkpoint {
    static let columns = "number, sequence, hash, time, count, generation, key_id, previous, signature"

    static func last(_ db: Database) throws -> Checkpoint? {
        try fetch(db, "SELECT \(columns) FROM audit_checkpoints ORDER BY number DESC LIMIT 1").first
    }

    static func fetch(
        _ db: Database, _ sql: String, _ arguments: StatementArguments = []
    ) throws -> [Checkpoint] {
        try Row.fetchCursor(db.cachedStatement(sql: sql), arguments: arguments).mapToArray(Checkpoint.init)
    }

    /// What no broker writes becomes what no key signed: whoever verifies names the checkpoint then.
    init(_ row: Row) {
        func integer(_ column: Int) -> Int64 {
            if case .int64(let value) = (row[column] as DatabaseValue).storage { value } else { 0 }
        }
        func bytes(_ column: Int) -> [UInt8] {
            if case .blob(let value) = (row[column] as DatabaseValue).storage { Array(value) } else { [] }
        }
        var keyID = ExactString("")
        // By its bytes: what is no UTF-8 is not mended.
        if case .string = (row[6] as DatabaseValue).storage { keyID = (try? row.text(6)) ?? keyID }
        self.init(
            number: integer(0), Place(sequence: integer(1), hash: bytes(2), count: integer(4)), time: integer(3),
            generation: Int(integer(5)), keyID: keyID, previous: bytes(7), signature: bytes(8))
    }

    func insert(_ db: Database) throws {
        try db.cachedStatement(
            sql: "INSERT INTO audit_checkpoints (\(Self.columns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        ).run { binder in
            binder.integer(number)
            binder.integer(sequence)
            binder.blob(hash)
            binder.integer(time)
            binder.integer(count)
            binder.integer(Int64(generation))
            binder.text(keyID)
            binder.blob(previous)
            binder.blob(signature)
        }
    }
}

/// Rows of `checkpoint_keys`.
extension CheckpointKeyRecord {
    /// Oldest first.
    static func fetchAll(_ db: Database) throws -> [CheckpointKeyRecord] {
        let sql =
            "SELECT key_id, public_key, sealed, master_key_id, created FROM checkpoint_keys ORDER BY created, rowid"
        return try Row.fetchCursor(db, sql: sql).mapToArray { row in
            CheckpointKeyRecord(
                keyID: try row.requiredText(0), publicKey: row.bytes(1) ?? [], sealed: row.bytes(2) ?? [],
                masterKeyID: try row.requiredText(3), created: try row.date(4))
        }
    }

    func insert(_ db: Database) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO checkpoint_keys (key_id, public_key, sealed, master_key_id, created) VALUES (?, ?, ?, ?, ?)
                """
        ).run { binder in
            binder.text(keyID)
            binder.blob(publicKey)
            binder.blob(sealed)
            binder.text(masterKeyID)
            binder.integer(created.milliseconds)
        }
    }
}
