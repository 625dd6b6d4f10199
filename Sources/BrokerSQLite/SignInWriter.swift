import Broker
import GRDB
import JOSE

/// A row of `sign_ins`, with its session and the digest of its newest refresh token.
struct SignInRow: Sendable {
    let session: SessionRecord
    let record: SignInRecord
    let digest: [UInt8]
}

/// Writes sign-ins within the transaction that records what they grant.
struct SignInWriter {
    private let insertSignIn: Statement
    private let insertToken: Statement
    private let update: Statement
    private let db: Database

    init(_ db: Database) throws {
        insertSignIn = try db.cachedStatement(
            sql: """
                INSERT INTO sign_ins (\(SignInRow.columns), issuer, subject) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """)
        insertToken = try db.cachedStatement(
            sql: "INSERT INTO refresh_tokens (digest, session, generation) VALUES (?, ?, ?)")
        update = try db.cachedStatement(
            sql: """
                UPDATE sign_ins SET generation = ?, rotated = ?, sealed = ?, master_key_id = ?
                WHERE session = ? AND generation = ?
                """)
        self.db = db
    }

    func insert(_ row: SignInRow) throws {
        let record = row.record
        try insertSignIn.run { binder in
            binder.text(record.session)
            binder.integer(Int64(record.generation))
            binder.integer(record.rotated.milliseconds)
            binder.blob(record.sealed)
            binder.text(record.masterKeyID)
            binder.text(record.email)
            binder.text(record.providerSession)
            binder.text(record.device)
            binder.text(record.program)
            binder.integer(record.end.milliseconds)
            binder.text(row.session.issuer.text)
            binder.text(row.session.subject)
        }
        try insert(token: row)
    }

    /// - Throws: `.conflict` where the row is not of the generation before.
    func rotate(_ row: SignInRow) throws {
        let record = row.record
        try update.run { binder in
            binder.integer(Int64(record.generation))
            binder.integer(record.rotated.milliseconds)
            binder.blob(record.sealed)
            binder.text(record.masterKeyID)
            binder.text(record.session)
            binder.integer(Int64(record.generation) - 1)
        }
        guard db.changesCount == 1 else {
            throw StoreFailure(.conflict, "record", cause: "the refresh token was turned by somebody else")
        }
        try insert(token: row)
    }

    private func insert(token row: SignInRow) throws {
        try insertToken.run { binder in
            binder.blob(row.digest)
            binder.text(row.record.session)
            binder.integer(Int64(row.record.generation))
        }
    }
}

extension SignInRow {
    static let columns =
        #"session, generation, rotated, sealed, master_key_id, email, provider_session, device, program, "end""#
}
