import FoundationEssentials
package import JOSE

// Ending sessions because somebody's session at the company's identity provider has ended.
extension SignIn {
    /// Ends the sessions that a logout token names (OpenID Connect Back-Channel Logout 1.0 §2.5), on the record. What is
    /// refused anybody can send: it is in the log, and for `explain`.
    /// - Returns: nil where the token was good and there was nothing to end.
    /// - Throws: `.unavailable` where the same token is to be sent again; another failure where it is good for nothing.
    package func logOut(
        by token: SecretText, from client: ExactString, under trace: TraceID
    ) async throws(LogoutFailure) -> RevocationOutcome? {
        let taken: TakenLogout
        do throws(LogoutFailure) {
            taken = try await logouts.take(token, at: clock.now)
        } catch {
            let words = "the logout token is not acceptable: \(error.words)"
            log.note(.logout, error.reason, words, from: client, under: trace)
            throw error
        }
        let (subject, session): (ExactString?, ExactString?) =
            switch taken.logout {
            case .session(let session, let identity): (identity, session)
            case .subject(let identity): (identity, nil)
            }
        // Before the sessions are looked for: one that begins meanwhile is found there, or ends itself.
        signOuts.note(subject, providerSession: session, of: taken.issuer, at: clock.uptime)
        let failure: RevocationRefusal
        do throws(RevocationRefusal) {
            let outcome = try await endSessions(
                of: taken.issuer, subject: subject, providerSession: session, under: trace)
            // In force, and lost with this process: the provider is told to come again.
            if outcome?.isDurable == false { logouts.putBack(taken) }
            return outcome
        } catch {
            failure = error
        }
        logouts.putBack(taken)
        log.note(.logout, .store, "sessions could not be ended: \(failure)", from: client, under: trace)
        throw .unavailable
    }

    /// Ends the sessions that a logout at the provider is about: all of the subject's, in whatever way they began, or those
    /// that somebody signed in to in one session of the provider's. With both also those of the subject of which the
    /// provider's session is not known. Without either, none.
    /// - Parameter subject: as sessions have it, `name:sub`.
    /// - Returns: nil where there was none to end.
    package func endSessions(
        of issuer: IssuerName, subject: ExactString?, providerSession: ExactString?, under trace: TraceID
    ) async throws(RevocationRefusal) -> RevocationOutcome? {
        guard subject != nil || providerSession != nil else { return nil }
        if let subject, providerSession == nil { return try await endAll(of: subject, under: trace) }
        let sessions: [SessionRecord]
        do {
            sessions = try await store.signIns(
                of: issuer, subject: subject, providerSession: providerSession, at: clock.now)
        } catch {
            throw .store(error)
        }
        let live = sessions.filter { mint.revocations.kills($0) == nil }
        guard !live.isEmpty else {
            return revocations.areDurable(of: sessions) ? nil : RevocationOutcome(revocations: [], isDurable: false)
        }
        var requests: [RevocationRequest] = []
        do {
            for session in live {
                requests.append(try RevocationRequest(.session(session.id), reason: Self.logoutReason))
            }
        } catch {
            throw .unacceptable(error)
        }
        return try await revocations.revoke(requests, by: .daemon, trace: trace)
    }

    /// By one revocation, without a block: whoever signs in again gets a session. Sessions that an ID token of the provider's
    /// opened by token exchange end with it, and those that begin with what was proved before.
    private func endAll(
        of subject: ExactString, under trace: TraceID
    ) async throws(RevocationRefusal) -> RevocationOutcome {
        let request: RevocationRequest
        do {
            request = try RevocationRequest(.subject(subject), reason: Self.logoutReason)
        } catch {
            throw .unacceptable(error)
        }
        return try await revocations.revoke(request, by: .daemon, trace: trace)
    }

    private static let logoutReason = "logout at the identity provider"

    /// Ends a session that began while whoever approved it was signed out.
    func endSignedOut(_ session: ExactString, _ request: ExchangeRequest) async throws(SignInRefusal) {
        do {
            let wish = try RevocationRequest(.session(session), reason: Self.logoutReason)
            _ = try await revocations.revoke(wish, by: .daemon, trace: request.trace)
        } catch {
            throw .unavailable(ExchangeOutage(.store, cause: "\(error)"))
        }
    }
}

extension Revocations {
    /// Whether those of the sessions themselves would survive a restart.
    fileprivate func areDurable(of sessions: [SessionRecord]) -> Bool {
        guard waiting.count > 0 else { return true }
        return sessions.allSatisfy { session in
            guard let revoked = revocation(of: .session(session.id)) else { return true }
            return revocation(revoked.sequence)?.isDurable ?? true
        }
    }
}
