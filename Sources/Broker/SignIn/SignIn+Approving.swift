package import JOSE
package import OpenSSL

// What the pages that people see do with whoever the provider proved them to be.
extension SignIn {
    /// To be asked before a proof is looked at: what is revoked from there on takes the session with it.
    package var highestRevocation: UInt64 { mint.revocations.highest }

    /// What the rules let a device have whom this subject approves; nil, on the record, where that is nothing.
    /// - Parameters:
    ///   - revision: `highestRevocation`, from before the proof was looked at.
    ///   - client: the address that the request counts for.
    /// - Throws: `.unavailable` where the refusal could not be recorded.
    package func approval(
        by subject: VerifiedSubject, since revision: UInt64, email: ExactString? = nil,
        providerToken: SecretBytes? = nil, providerSession: ExactString? = nil, from client: ExactString,
        under trace: TraceID
    ) async throws(SignInRefusal) -> Approval? {
        let request = ExchangeRequest(trace: trace, client: client, subject: .proof(SecretText("")))
        guard let grant = try await grant(to: subject, naming: nil, request, at: clock.now) else { return nil }
        return Approval(
            subject: subject, since: revision, grant: grant, email: email, providerToken: providerToken,
            providerSession: providerSession)
    }

    /// Ends the sessions that a logout at the provider is about (OpenID Connect Back-Channel Logout §2.5): those of the
    /// subject, of one session of the provider's, or of both. Without either, none.
    /// - Parameter subject: as sessions have it, `name:sub`.
    /// - Returns: nil where there was none to end.
    package func endSessions(
        of issuer: IssuerName, subject: ExactString?, providerSession: ExactString?, under trace: TraceID
    ) async throws(RevocationRefusal) -> RevocationOutcome? {
        guard subject != nil || providerSession != nil else { return nil }
        let sessions: [SessionRecord]
        do {
            sessions = try await store.signIns(
                of: issuer, subject: subject, providerSession: providerSession, at: clock.now)
        } catch {
            throw .store(error)
        }
        let live = sessions.filter { mint.revocations.kills($0) == nil }
        guard !live.isEmpty else { return nil }
        var requests: [RevocationRequest] = []
        do {
            for session in live {
                requests.append(try RevocationRequest(.session(session.id), reason: "logout at the identity provider"))
            }
        } catch {
            throw .unacceptable(error)
        }
        return try await revocations.revoke(requests, by: .daemon, trace: trace)
    }
}
