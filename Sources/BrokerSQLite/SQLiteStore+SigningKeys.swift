package import Broker
import FoundationEssentials
import GRDB
import JOSE

extension SQLiteStore: SigningKeyStore {
    package func signingKeys() async throws(StoreFailure) -> [SigningKeyRecord] {
        try await perform("read signing keys") { try SigningKeyRecord.fetchAll($0) }
    }

    package func insertFirstSigningKeys(_ keys: [SigningKeyRecord]) async throws(StoreFailure) {
        try await writeUnrecorded("insert the first signing keys") { db in
            guard try Int.fetchOne(db, sql: "SELECT count(*) FROM signing_keys") == 0 else {
                throw StoreFailure(
                    .conflict, "insert the first signing keys", cause: "the store has signing keys already")
            }
            for key in keys { try key.insert(db) }
        }
    }

    package func apply(_ change: KeyRingChange, _ event: AuditEvent) async throws(StoreFailure) {
        let row = AuditRow(event)
        // A key that was stolen is taken out in any case.
        let isRevocation = change.moves.contains { $0.after == .compromised }
        try await write("change signing keys", needingFile: !isRevocation) { db, audit in
            let records = try SigningKeyRecord.fetchAll(db)
            guard change.applied(to: records) != nil else {
                throw StoreFailure(
                    .conflict, "change signing keys", cause: "the stored signing keys are in other states")
            }
            for move in change.moves {
                try records.first { $0.keyID == move.keyID }?.moved(to: move.after, at: change.time).update(db)
            }
            for key in change.added { try key.insert(db) }
            if isRevocation { try audit.appendIfPossible(row) } else { try audit.append(row) }
        }
    }
}

extension SigningKeyRecord {
    static func fetchAll(_ db: Database) throws -> [SigningKeyRecord] {
        let statement = try db.cachedStatement(
            sql: """
                SELECT key_id, algorithm, state, sealed, master_key_id, created, activated, stopped, ended
                FROM signing_keys ORDER BY created, rowid
                """)
        return try Row.fetchCursor(statement).mapToArray(SigningKeyRecord.init)
    }

    fileprivate init(_ row: Row) throws {
        guard let algorithm = JWSAlgorithm(try row.requiredText(1)),
            let state = State(rawValue: try row.requiredText(2).string)
        else { throw StoreFailure(.unreadable, "read signing keys", cause: "a signing key has an unknown form") }
        self.init(
            keyID: try row.requiredText(0), algorithm: algorithm, state: state, sealed: row.bytes(3) ?? [],
            masterKeyID: try row.requiredText(4), created: try row.date(5), activated: try row.optionalDate(6),
            stopped: try row.optionalDate(7), ended: try row.optionalDate(8))
    }

    func insert(_ db: Database) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO signing_keys
                    (key_id, algorithm, state, sealed, master_key_id, created, activated, stopped, ended)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                """
        ).run { binder in
            binder.text(keyID)
            binder.text(algorithm.rawValue)
            binder.text(state.rawValue)
            binder.blob(sealed)
            binder.text(masterKeyID)
            binder.integer(created.milliseconds)
            bindTimes(&binder)
        }
    }

    func update(_ db: Database) throws {
        try db.cachedStatement(
            sql: """
                UPDATE signing_keys SET state = ?, sealed = ?, activated = ?, stopped = ?, ended = ? WHERE key_id = ?
                """
        ).run { binder in
            binder.text(state.rawValue)
            binder.blob(sealed)
            bindTimes(&binder)
            binder.text(keyID)
        }
    }

    private func bindTimes(_ binder: inout Binder) {
        for time in [activated, stopped, ended] {
            if let time { binder.integer(time.milliseconds) } else { binder.text(nil as String?) }
        }
    }
}
