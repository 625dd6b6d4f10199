package import Broker
package import FoundationEssentials
import GRDB
package import JOSE

extension SQLiteStore: SignInStore {
    package func record(
        _ session: SessionRecord, _ event: AuditEvent, opening signIn: SignInRecord, token digest: [UInt8]
    ) async throws(StoreFailure) -> UseOutcome {
        try await commits.commit(
            .signIn(SessionRow(session), SignInRow(session: session, record: signIn, digest: digest), AuditRow(event)))
    }

    package func record(
        _ event: AuditEvent, rotating next: SignInRecord, of session: SessionRecord, token digest: [UInt8]
    ) async throws(StoreFailure) -> UseOutcome {
        let row = SignInRow(session: session, record: next, digest: digest)
        return try await commits.commit(.rotation(session, row, AuditRow(event)))
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
        guard let selection = SignInRow.selection(bySubject: subject != nil, byProviderSession: providerSession != nil)
        else { return [] }
        return try await reading.perform("find sign-ins") { db in
            var found: [ExactString] = []
            try db.cachedStatement(sql: selection).rows { binder in
                binder.text(issuer.text)
                if let subject { binder.text(subject) }
                if let providerSession { binder.text(providerSession) }
                binder.integer(now.milliseconds)
            } _: { row in
                if let id = row.bytes(0) { found.append(ExactString(String(decoding: id, as: UTF8.self))) }
                return true
            }
            return try found.compactMap { try SessionRow.fetch($0, db) }
        }
    }

    package func signIns(
        ofSessions ids: [ExactString]
    ) async throws(StoreFailure) -> [ExactString: SignInRecord] {
        guard !ids.isEmpty else { return [:] }
        return try await reading.perform("read sign-ins") { db in
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
            let tokens = try db.cachedStatement(
                sql: """
                    DELETE FROM refresh_tokens WHERE digest IN
                        (SELECT digest FROM refresh_tokens WHERE session = ? LIMIT ?)
                    """)
            let signIns = try db.cachedStatement(sql: "DELETE FROM sign_ins WHERE session = ?")
            var left = limit
            for session in sessions {
                try tokens.run { binder in
                    binder.text(session)
                    binder.integer(Int64(left))
                }
                left -= db.changesCount
                // Last: what is left of it is found by it the next time.
                guard left > 0 else { break }
                try signIns.run { $0.text(session) }
                left -= 1
                guard left > 0 else { break }
            }
            return limit - left
        }
    }
}

extension SQLiteStore {
    package func dropSecrets(
        after position: Int64, limit: Int, where isDead: @escaping @Sendable (SessionRecord) -> Bool
    ) async throws(StoreFailure) -> Int64? {
        let (dead, last, count) = try await reading.perform("look for sign-ins that were revoked") { db in
            var (dead, last, count): ([ExactString], Int64, Int) = ([], position, 0)
            let rows = try Row.fetchCursor(
                db,
                sql: """
                    SELECT session, rowid FROM sign_ins WHERE rowid > ? AND length(sealed) > 0 ORDER BY rowid LIMIT ?
                    """,
                arguments: [position, limit]
            ).mapToArray { (session: try $0.requiredText(0), number: try $0.integer(1)) }
            for row in rows {
                (last, count) = (row.number, count + 1)
                if let session = try SessionRow.fetch(row.session, db), isDead(session) { dead.append(row.session) }
            }
            return (dead, last, count)
        }
        if !dead.isEmpty {
            try await writeUnrecorded("drop secrets of sign-ins") { db in
                let update = try db.cachedStatement(sql: "UPDATE sign_ins SET sealed = x'' WHERE session = ?")
                for session in dead { try update.run { $0.text(session) } }
            }
        }
        return count == limit ? last : nil
    }
}

extension SignInRow {
    /// The ids of the sessions of live sign-ins: of that issuer, and as far as they are named of that subject and that
    /// session of the provider's, or with a subject of one that is not known. Their values are bound in that order, and the
    /// time last.
    /// - Returns: nil where neither is named.
    static func selection(bySubject: Bool, byProviderSession: Bool) -> String? {
        let term: String
        switch (bySubject, byProviderSession) {
        case (false, false): return nil
        case (true, false): term = "issuer = ? AND subject = ?"
        case (true, true):
            term = "issuer = ? AND subject = ? AND (+provider_session = ? OR provider_session IS NULL)"
        // There is one issuer at which people sign in.
        case (false, true): term = "+issuer = ? AND provider_session = ?"
        }
        return #"SELECT session FROM sign_ins WHERE \#(term) AND +"end" > ?"#
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
