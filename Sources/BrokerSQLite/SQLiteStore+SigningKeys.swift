package import Broker
import GRDB
import JOSE

extension SQLiteStore: SigningKeyStore {
    package func signingKeys() async throws(StoreFailure) -> [SigningKeyRecord] {
        try await perform("read signing keys") { db in
            let statement = try db.cachedStatement(
                sql: """
                    SELECT key_id, algorithm, state, sealed, master_key_id, created FROM signing_keys
                    ORDER BY created, rowid
                    """)
            return try Row.fetchCursor(statement).mapToArray(SigningKeyRecord.init)
        }
    }

    package func insertFirstSigningKeys(_ keys: [SigningKeyRecord]) async throws(StoreFailure) {
        try await perform("insert the first signing keys") { db in
            try db.inTransaction(.immediate) {
                guard try Int.fetchOne(db, sql: "SELECT count(*) FROM signing_keys") == 0 else {
                    throw StoreFailure(
                        .conflict, "insert the first signing keys", cause: "the store has signing keys already")
                }
                for key in keys { try Self.insert(key, db) }
                return .commit
            }
        }
    }

    static func insert(_ key: SigningKeyRecord, _ db: Database) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO signing_keys (key_id, algorithm, state, sealed, master_key_id, created)
                VALUES (?, ?, ?, ?, ?, ?)
                """
        ).run(binding: key.bind)
    }
}

extension SigningKeyRecord {
    fileprivate init(_ row: Row) throws {
        guard let algorithm = JWSAlgorithm(try row.requiredText(1)),
            let state = State(rawValue: try row.requiredText(2).string)
        else { throw StoreFailure(.unreadable, "read signing keys", cause: "a signing key has an unknown form") }
        self.init(
            keyID: try row.requiredText(0), algorithm: algorithm, state: state, sealed: row.bytes(3) ?? [],
            masterKeyID: try row.requiredText(4), created: try row.date(5))
    }

    fileprivate func bind(_ binder: inout Binder) {
        binder.text(keyID)
        binder.text(algorithm.rawValue)
        binder.text(state.rawValue)
        binder.blob(sealed)
        binder.text(masterKeyID)
        binder.integer(created.milliseconds)
    }
}
