import FoundationEssentials
package import JOSE

// Staying signed in. The refresh token that follows a presented one is an HMAC of it under the sign-in's own sealed key:
// nobody has to store it to give it out again to whom its answer was lost.
extension SignIn {
    /// For how long a lost answer is given again, until what it gave is used.
    static let repeatPeriod: TimeInterval = 30
    /// So many refresh tokens a sign-in may have: its digests are kept until its session ends.
    package static let maximumGenerations = 4096

    /// What a refresh token gets (RFC 6749 §6): a further token of its session, and the next refresh token. The rules, and
    /// the provider where it can be asked, are asked anew; one that was used before ends the session.
    /// - Throws: `.ended` where its holder has to sign in again.
    package func refresh(
        _ text: SecretText, scope: [Scope]?, from client: ExactString, under trace: TraceID
    ) async throws(SignInRefusal) -> SignInResponse {
        let request = ExchangeRequest(trace: trace, client: client, subject: .proof(text), scope: scope)
        do throws(SignInRefusal) {
            return try await refreshInTurn(text, request)
        } catch {
            if case .unavailable(let outage) = error { log.note(outage, request) }
            throw error
        }
    }

    private func refreshInTurn(
        _ text: SecretText, _ request: ExchangeRequest
    ) async throws(SignInRefusal) -> SignInResponse {
        guard let token = OpaqueToken(parsing: text), let known = try await presented(token) else {
            // Anybody can send this, so it must not fill the store.
            log.metrics.refused(reason: .malformed)
            throw .ended(.unknown)
        }
        switch await turns.take(known.session.id) {
        case .taken: break
        case .failed(let outage): throw .unavailable(outage)
        case .tooMany: throw .busy
        }
        let result: Result<SignInResponse, SignInRefusal>
        do throws(SignInRefusal) {
            let response = try await refresh(token, request)
            result = .success(response)
        } catch {
            result = .failure(error)
        }
        if case .failure(.unavailable(let outage)) = result {
            turns.giveBack(known.session.id, failing: outage)
        } else {
            turns.giveBack(known.session.id)
        }
        return try result.get()
    }

    private func presented(_ token: OpaqueToken) async throws(SignInRefusal) -> PresentedRefreshToken? {
        do {
            return try await store.signIn(ofToken: token.digest)
        } catch {
            throw .unavailable(ExchangeOutage(.store, cause: error.description))
        }
    }

    private func refresh(
        _ token: OpaqueToken, _ request: ExchangeRequest
    ) async throws(SignInRefusal) -> SignInResponse {
        // Somebody may have had his turn with it meanwhile.
        guard let presented = try await presented(token) else { throw .ended(.unknown) }
        let (session, signIn) = (presented.session, presented.signIn)
        let began = clock.now
        try await refuseEnded(presented, request, at: began)
        guard let opened = SignInSecrets(opening: signIn, with: masterKey) else {
            try await refuse(session, request, .sessionUnknown, at: began)
            throw .ended(.unknown)
        }
        let isRepeat = try await isRepeat(presented, request, at: began)
        let (subject, secrets): (VerifiedSubject?, SignInSecrets)
        if isRepeat {
            // A lost answer is the same answer: the provider was asked for it.
            (subject, secrets) = (nil, opened)
        } else {
            (subject, secrets) = try await askProvider(of: presented, opened, request)
        }
        // The provider may have taken seconds, and an answer is lost from now on, not from when it was asked for.
        let now = clock.now
        let grant = try await match(session, subject, request, at: now)
        let gatewayToken = try await minted(session, grant, request, at: now)
        let successor = token.successor(under: secrets.key)
        let event = AuditEvent(
            granted: .sessionRenewed, gatewayToken, session, grant, for: request, at: now,
            adding: [
                "sign_in": [
                    "step": "refresh", "generation": .number(Double(presented.generation)), "repeated": .bool(isRepeat),
                ]
            ])
        let outcome: UseOutcome
        if isRepeat {
            outcome = try await stored(event) { () async throws(StoreFailure) in
                try await store.record(event, renewing: session)
            }
        } else {
            let sealed = try sealed(secrets, of: session)
            let next = signIn.next(at: now, sealed: sealed, under: masterKey.id)
            outcome = try await stored(event) { () async throws(StoreFailure) in
                try await store.record(event, rotating: next, of: session, token: successor.digest)
            }
            inHand.forget(session.id)
        }
        guard outcome == .recorded else {
            try await refuse(session, request, .revoked, at: now)
            throw .ended(.revoked)
        }
        log.metrics.granted(issuer: session.issuer, rule: grant.rule, session: .renewed)
        return SignInResponse(
            token: ExchangeResponse(gatewayToken, session, grant), refreshToken: successor.text, email: signIn.email)
    }

    private func refuseEnded(
        _ presented: PresentedRefreshToken, _ request: ExchangeRequest, at now: Date
    ) async throws(SignInRefusal) {
        let session = presented.session
        var reason: RefusalReason?
        let killer = mint.revocations.kills(session)
        if killer != nil {
            reason = .revoked
        } else if now >= session.end || presented.signIn.generation >= Self.maximumGenerations {
            reason = .sessionOver
        }
        let target = mint.revocations.blocks(subject: session.subject, actor: nil, rule: session.rule, at: now)
        guard reason != nil || target != nil else { return }
        var details: JSONObject = target.map { ["blocked": .object($0.json)] } ?? [:]
        // By which `daypass revocations` has who did it, and why.
        if let killer { _ = details.append("revocation", .object(killer.json)) }
        try await refuse(session, request, reason ?? .blocked, details, at: now)
        throw .ended(reason.map(SignInEnd.init) ?? .unsaid)
    }

    /// Whether it is the token before the one that is good, and the answer that gave that one may be given again. Any older
    /// one, or a later time, means that two have it: the session ends (RFC 9700 §4.14.2).
    private func isRepeat(
        _ presented: PresentedRefreshToken, _ request: ExchangeRequest, at now: Date
    ) async throws(SignInRefusal) -> Bool {
        let age = now.timeIntervalSince(presented.signIn.rotated)
        switch presented.signIn.generation - presented.generation {
        case 0: return false
        // A clock that was set back shows less than nothing.
        case 1 where age <= Self.repeatPeriod: return true
        default:
            try await end(presented.session, because: "a refresh token was used again", request)
            try await refuse(presented.session, request, .replayed, at: now)
            throw .ended(.reuse)
        }
    }

    /// - Parameter subject: who it is by the provider's word of just now; nil where it gave none.
    private func match(
        _ session: SessionRecord, _ subject: VerifiedSubject?, _ request: ExchangeRequest, at now: Date
    ) async throws(SignInRefusal) -> Grant {
        if let subject {
            guard subject.issuer == session.issuer, subject.identity == session.subject else {
                try await end(session, because: "the identity provider vouches for somebody else", request)
                try await refuse(session, request, .claim, at: now)
                throw .ended(.person)
            }
            if case .refused(let explanation) = rules.match(subject, naming: session.rule) {
                // Where it is not the rules that changed, whoever signed in is not who he was.
                if rules.matchAgain(session) != nil {
                    try await end(session, because: "no rule matches what the identity provider says now", request)
                }
                try await refuse(session, request, .noRule, ["explanation": .object(explanation.json)], at: now)
                throw .ended(.rules)
            }
        }
        // By what the provider says now; where it says nothing, by the claims that were kept.
        let current = subject.flatMap { granted(rules.match($0, naming: session.rule)) } ?? rules.matchAgain(session)
        guard let current else {
            let explanation = rules.explainAgain(session).json
            try await refuse(session, request, .noRule, ["explanation": .object(explanation)], at: now)
            throw .ended(.rules)
        }
        guard !current.isForBroker, !current.bindsCertificate else {
            try await refuse(session, request, .grantChanged, at: now)
            throw .ended(.rules)
        }
        do {
            return try current.narrowed(toScope: request.scope, targets: [])
        } catch {
            // Below.
        }
        try await refuse(session, request, .scope, current.exceeded(by: request), at: now)
        throw .scope
    }

    private func granted(_ outcome: RuleSet.Outcome) -> Grant? {
        if case .granted(let grant) = outcome { grant } else { nil }
    }

    /// Ends the session of a refresh token for whoever shows it (RFC 7009 §2.1), however old it is.
    /// - Returns: nil where there was nothing to end.
    package func revoke(
        _ text: SecretText, under trace: TraceID
    ) async throws(RevocationRefusal) -> RevocationOutcome? {
        guard let token = OpaqueToken(parsing: text) else { return nil }
        let session: SessionRecord
        do {
            guard let presented = try await store.signIn(ofToken: token.digest) else { return nil }
            session = presented.session
        } catch {
            throw .store(error)
        }
        guard clock.now < session.end, mint.revocations.kills(session) == nil else { return nil }
        return try await revocations.giveBack(session, trace: trace)
    }
}

extension Revocations {
    /// Revokes a session at the wish of whoever holds its refresh token.
    func giveBack(_ session: SessionRecord, trace: TraceID) async throws(RevocationRefusal) -> RevocationOutcome {
        let holder = Caller.holder(
            subject: session.subject, session: session.id, root: session.lineage[0], rule: session.rule)
        return try await revoke([RevocationRequest(ofHolder: .session(session.id))], by: holder, trace: trace)
    }
}
