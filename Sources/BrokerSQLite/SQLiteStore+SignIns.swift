package import Broker
package import FoundationEssentials
import GRDB
package import JOSE

extension SQLiteStore: SignInStore {
    package func record(
        _ session: SessionRecord, _ event: AuditEvent, opening signIn: SignInRecord, token digest: [UInt8]
    ) async throws(StoreFailure) -> UseOutcome {
        try await commits.commit(
            .signIn(SessionRow(session), SignInRow(record: signIn, digest: digest), AuditRow(event)))
    }

    package func record(
        _ event: AuditEvent, rotating next: SignInRecord, of session: SessionRecord, token digest: [UInt8]
    ) async throws(StoreFailure) -> UseOutcome {
        try await commits.commit(.rotation(session, SignInRow(record: next, digest: digest), AuditRow(event)))
    }

    package func signIn(ofToken digest: [UInt8]) async throws(StoreFailure) -> PresentedRefreshToken? {
        try await perform("read a sign-in") { db in
            let tokens = try Row.fetchCursor(
                db.cachedStatement(sql: "SELECT session, generation FROM refresh_tokens WHERE digest = ?"),
                arguments: [Data(digest)]
            ).mapToArray { (session: try $0.requiredText(0), generation: try $0.integer(1)) }
            guard let token = tokens.first else { return nil }
            let selection = "SELECT \(SignInRow.columns) FROM sign_ins WHERE session = ?"
            let signIns = try Row.fetchCursor(
                db.cachedStatement(sql: selection), arguments: [token.session.string]
            ).mapToArray(SignInRecord.init)
            guard let signIn = signIns.first, let session = try SessionRow.fetch(token.session, db),
                let generation = Int(exactly: token.generation)
            else {
                throw StoreFailure(
                    .unreadable, "read a sign-in", cause: "the session that a refresh token is of is missing")
            }
            return PresentedRefreshToken(signIn: signIn, session: session, generation: generation)
        }
    }

    package func keep(_ signIn: SignInRecord) async throws(StoreFailure) {
        try await writeUnrecorded("keep what a sign-in has sealed") { db in
            let statement = try db.cachedStatement(
                sql: "UPDATE sign_ins SET sealed = ?, master_key_id = ? WHERE session = ? AND generation = ?")
            try statement.run { binder in
                binder.blob(signIn.sealed)
                binder.text(signIn.masterKeyID)
                binder.text(signIn.session)
                binder.integer(Int64(signIn.generation))
            }
            guard db.changesCount == 1 else {
                throw StoreFailure(
                    .conflict, "keep what a sign-in has sealed", cause: "the refresh token was turned by somebody else")
            }
        }
    }

    package func isSignIn(_ id: ExactString) async throws(StoreFailure) -> Bool {
        try await perform("look for a sign-in") { db in
            try !Row.fetchCursor(
                db.cachedStatement(sql: "SELECT session FROM sign_ins WHERE session = ?"), arguments: [id.string]
            ).mapToArray { try $0.requiredText(0) }.isEmpty
        }
    }

    package func signIns(
        of issuer: IssuerName, subject: ExactString?, providerSession: ExactString?, at now: Date
    ) async throws(StoreFailure) -> [SessionRecord] {
        try await perform("find sign-ins") { db in
            let found = try Row.fetchCursor(
                db.cachedStatement(sql: #"SELECT session, provider_session FROM sign_ins WHERE "end" > ?"#),
                arguments: [now.milliseconds]
            ).mapToArray { (session: try $0.requiredText(0), provider: try $0.text(1)) }
            return try found.filter { providerSession == nil || $0.provider == providerSession }
                .compactMap { try SessionRow.fetch($0.session, db) }
                .filter { $0.issuer == issuer && (subject == nil || $0.subject == subject) }
        }
    }

    package func signIns(
        ofSessions ids: [ExactString]
    ) async throws(StoreFailure) -> [ExactString: SignInRecord] {
        guard !ids.isEmpty else { return [:] }
        return try await perform("read sign-ins") { db in
            let statement = try db.cachedStatement(
                sql: "SELECT \(SignInRow.columns) FROM sign_ins WHERE session = ?")
            var found: [ExactString: SignInRecord] = [:]
            for id in ids {
                let rows = try Row.fetchCursor(statement, arguments: [id.string]).mapToArray(SignInRecord.init)
                found[id] = rows.first
            }
            return found
        }
    }

    package func forgetSignIns(endedBefore now: Date, limit: Int) async throws(StoreFailure) -> Int {
        try await writeUnrecorded("forget sign-ins that have ended") { db in
            let sessions = try Row.fetchCursor(
                db, sql: #"SELECT session FROM sign_ins WHERE "end" < ? ORDER BY "end" LIMIT ?"#,
                arguments: [now.milliseconds, limit]
            ).mapToArray { try $0.requiredText(0) }
            let tokens = try db.cachedStatement(sql: "DELETE FROM refresh_tokens WHERE session = ?")
            let signIns = try db.cachedStatement(sql: "DELETE FROM sign_ins WHERE session = ?")
            for session in sessions {
                try tokens.run { $0.text(session) }
                try signIns.run { $0.text(session) }
            }
            return sessions.count
        }
    }
}

extension SignInRecord {
    static func fetchAll(_ db: Database) throws -> [SignInRecord] {
        try Row.fetchCursor(db, sql: "SELECT \(SignInRow.columns) FROM sign_ins ORDER BY session")
            .mapToArray(SignInRecord.init)
    }

    init(_ row: Row) throws {
        guard let generation = Int(exactly: try row.integer(1)), let sealed = row.bytes(3) else {
            throw StoreFailure(.unreadable, "read a sign-in", cause: "a sign-in has an unknown form")
        }
        self.init(
            session: try row.requiredText(0), generation: generation, rotated: try row.date(2), sealed: sealed,
            masterKeyID: try row.requiredText(4), email: try row.text(5), providerSession: try row.text(6),
            device: try row.text(7), program: try row.text(8), end: try row.date(9))
    }
}
