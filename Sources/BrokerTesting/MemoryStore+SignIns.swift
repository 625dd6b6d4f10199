package import Broker
package import FoundationEssentials
package import JOSE

extension MemoryStore {
    package func record(
        _ session: SessionRecord, _ event: AuditEvent, opening signIn: SignInRecord, token digest: [UInt8]
    ) async throws(StoreFailure) -> UseOutcome {
        try whileReachable { state throws(StoreFailure) in
            guard state.asked().kills(session) == nil else { return .revoked }
            guard state.refreshTokens[digest] == nil, state.sessionIDs.insert(session.id).inserted else {
                throw Self.taken
            }
            state.sessions.append(session)
            state.signIns[session.id] = signIn
            state.refreshTokens[digest] = (session.id, signIn.generation)
            state.highestRevocation = max(state.highestRevocation, session.revision)
            state.append(event)
            return .recorded
        }
    }

    package func signIn(ofToken digest: [UInt8]) async throws(StoreFailure) -> PresentedRefreshToken? {
        try whileReachable { state in
            guard let token = state.refreshTokens[digest], let signIn = state.signIns[token.session],
                let session = state.sessions.rows.first(where: { $0.id == token.session })
            else { return nil }
            return PresentedRefreshToken(signIn: signIn, session: session, generation: token.generation)
        }
    }

    package func record(
        _ event: AuditEvent, rotating next: SignInRecord, of session: SessionRecord, token digest: [UInt8]
    ) async throws(StoreFailure) -> UseOutcome {
        try whileReachable { state throws(StoreFailure) in
            guard state.asked().kills(session) == nil else { return .revoked }
            guard state.signIns[next.session]?.generation == next.generation - 1, state.refreshTokens[digest] == nil
            else {
                throw StoreFailure(.conflict, "record", cause: "the refresh token was turned by somebody else")
            }
            state.signIns[next.session] = next
            state.refreshTokens[digest] = (next.session, next.generation)
            state.append(event)
            return .recorded
        }
    }

    package func keep(_ signIn: SignInRecord) async throws(StoreFailure) {
        try whileReachable { state throws(StoreFailure) in
            guard let stored = state.signIns[signIn.session], stored.generation == signIn.generation else {
                throw StoreFailure(.conflict, "keep", cause: "the refresh token was turned by somebody else")
            }
            state.signIns[signIn.session] = stored.resealed(as: signIn.sealed, under: signIn.masterKeyID)
        }
    }

    package func isSignIn(_ id: ExactString) async throws(StoreFailure) -> Bool {
        try whileReachable { $0.signIns[id] != nil }
    }

    package func signIns(
        of issuer: IssuerName, subject: ExactString?, providerSession: ExactString?, at now: Date
    ) async throws(StoreFailure) -> [SessionRecord] {
        try whileReachable { state in
            state.sessions.rows.filter { session in
                guard let signIn = state.signIns[session.id], signIn.end > now, session.issuer == issuer else {
                    return false
                }
                switch (subject, providerSession) {
                case (nil, nil): return false
                case (let subject?, nil): return session.subject == subject
                case (nil, let provider?): return signIn.providerSession == provider
                case (let subject?, let provider?):
                    return session.subject == subject && (signIn.providerSession ?? provider) == provider
                }
            }
        }
    }

    package func signIns(
        ofSessions ids: [ExactString]
    ) async throws(StoreFailure) -> [ExactString: SignInRecord] {
        try whileReachable { state in state.signIns.filter { ids.contains($0.key) } }
    }

    package func forgetSignIns(endedBefore now: Date, limit: Int) async throws(StoreFailure) -> Int {
        try whileReachable { state in
            var left = limit
            for session in state.signIns.values.filter({ $0.end < now }).map(\.session) {
                for token in state.refreshTokens.filter({ $0.value.session == session }).keys where left > 0 {
                    state.refreshTokens[token] = nil
                    left -= 1
                }
                guard left > 0 else { break }
                state.signIns[session] = nil
                left -= 1
            }
            return limit - left
        }
    }

    package func dropSecrets(
        after position: Int64, limit: Int, where isDead: @escaping @Sendable (SessionRecord) -> Bool
    ) async throws(StoreFailure) -> Int64? {
        try whileReachable { state in
            let rows = state.sessions.numbered.filter { row in
                row.number > position && state.signIns[row.row.id]?.sealed.isEmpty == false
            }.prefix(limit)
            for row in rows where isDead(row.row) {
                guard let signIn = state.signIns[row.row.id] else { continue }
                state.signIns[row.row.id] = signIn.resealed(as: [], under: signIn.masterKeyID)
            }
            return rows.count == limit ? rows.last?.number : nil
        }
    }
}
