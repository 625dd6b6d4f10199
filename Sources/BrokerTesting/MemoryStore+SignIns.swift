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
                return (subject == nil || session.subject == subject)
                    && (providerSession == nil || signIn.providerSession == providerSession)
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
            let old = Set(state.signIns.values.filter { $0.end < now }.prefix(limit).map(\.session))
            for session in old { state.signIns[session] = nil }
            state.refreshTokens = state.refreshTokens.filter { !old.contains($0.value.session) }
            return old.count
        }
    }
}
