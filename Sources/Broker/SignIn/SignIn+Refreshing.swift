import FoundationEssentials
package import JOSE

// Staying signed in. The refresh token that follows a presented one is an HMAC of it under the sign-in's own sealed key:
// nobody has to store it to give it out again to whom its answer was lost.
extension SignIn {
    /// For how long a lost answer is given again, until what it gave is used.
    static let repeatPeriod: TimeInterval = 30
    /// A clock that was set back by more counts as one that went on.
    private static let clockSlack: TimeInterval = 5
    /// So many refresh tokens a sign-in may have: its digests are kept until its session ends.
    package static let maximumGenerations = 4096

    /// What a refresh token gets (RFC 6749 §6): a further token of its session, and the next refresh token. The rules, and
    /// the provider where it can be asked, are asked anew; one that was used before ends the session.
    /// - Throws: `.ended` where its holder has to sign in again.
    package func refresh(
        _ text: SecretText, scope: [Scope]?, from client: ExactString, under trace: TraceID
    ) async throws(SignInRefusal) -> SignInResponse {
        let request = ExchangeRequest(trace: trace, client: client, subject: .proof(text), scope: scope)
        guard let token = OpaqueToken(parsing: text), let known = try await presented(token, request) else {
            // Anybody can send this, so it must not fill the store.
            log.metrics.refused(reason: .malformed)
            throw .ended
        }
        await turns.take(known.session.id)
        defer { turns.giveBack(known.session.id) }
        // Somebody may have had his turn with it meanwhile.
        guard let presented = try await presented(token, request) else { throw .ended }
        do throws(SignInRefusal) {
            return try await refresh(token, presented, request, at: clock.now)
        } catch {
            if case .unavailable(let outage) = error { log.note(outage, request) }
            throw error
        }
    }

    private func presented(
        _ token: OpaqueToken, _ request: ExchangeRequest
    ) async throws(SignInRefusal) -> PresentedRefreshToken? {
        do {
            return try await store.signIn(ofToken: token.digest)
        } catch {
            let outage = ExchangeOutage(.store, cause: error.description)
            log.note(outage, request)
            throw .unavailable(outage)
        }
    }

    private func refresh(
        _ token: OpaqueToken, _ presented: PresentedRefreshToken, _ request: ExchangeRequest, at now: Date
    ) async throws(SignInRefusal) -> SignInResponse {
        let (session, signIn) = (presented.session, presented.signIn)
        try await refuseEnded(presented, request, at: now)
        guard let secrets = SignInSecrets(opening: signIn, with: masterKey) else {
            try await refuse(session, request, .sessionUnknown, at: now)
            throw .ended
        }
        let isRepeat = try await isRepeat(presented, request, at: now)
        // A lost answer is the same answer: the provider was asked for it.
        let renewal = isRepeat ? nil : try await renewed(session, secrets, request, at: now)
        let grant = try await match(session, renewal, request, at: now)
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
            let next: SignInRecord
            do {
                let token = inHand.token(of: session.id) ?? renewal?.token
                let sealed = try secrets.replacing(token).sealed(with: masterKey, for: session.id)
                next = signIn.next(at: now, sealed: sealed, under: masterKey.id)
            } catch {
                throw .unavailable(.minting(error, session.issuer, session.rule))
            }
            outcome = try await stored(event) { () async throws(StoreFailure) in
                try await store.record(event, rotating: next, of: session, token: successor.digest)
            }
            inHand.forget(session.id)
        }
        guard outcome == .recorded else {
            try await refuse(session, request, .revoked, at: now)
            throw .ended
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
        if mint.revocations.kills(session) != nil {
            reason = .revoked
        } else if now >= session.end || presented.signIn.generation >= Self.maximumGenerations {
            reason = .sessionOver
        }
        let target = mint.revocations.blocks(subject: session.subject, actor: nil, rule: session.rule, at: now)
        guard reason != nil || target != nil else { return }
        let details: JSONObject = target.map { ["blocked": .object($0.json)] } ?? [:]
        try await refuse(session, request, reason ?? .blocked, details, at: now)
        throw .ended
    }

    /// Whether it is the token before the one that is good, and the answer that gave that one may be given again. Any older
    /// one, or a later time, means that two have it: the session ends (RFC 9700 §4.14.2).
    private func isRepeat(
        _ presented: PresentedRefreshToken, _ request: ExchangeRequest, at now: Date
    ) async throws(SignInRefusal) -> Bool {
        let age = now.timeIntervalSince(presented.signIn.rotated)
        switch presented.signIn.generation - presented.generation {
        case 0: return false
        case 1 where (-Self.clockSlack...Self.repeatPeriod).contains(age): return true
        default:
            try await end(presented.session, because: "a refresh token was used again", request)
            try await refuse(presented.session, request, .replayed, at: now)
            throw .ended
        }
    }

    /// What the provider says of whoever signed in; nil where it cannot be asked for want of a token of its own.
    private func renewed(
        _ session: SessionRecord, _ secrets: SignInSecrets, _ request: ExchangeRequest, at now: Date
    ) async throws(SignInRefusal) -> ProviderRenewal? {
        guard let provider, let token = inHand.token(of: session.id) ?? secrets.providerToken else { return nil }
        let failure: ProviderFailure
        do {
            let renewal = try await provider.renew(token)
            // Before anything else can go wrong.
            if let next = renewal.token { inHand.keep(next, of: session.id, until: session.end, at: now) }
            guard case .unchecked(let cause) = renewal.vouching else { return renewal }
            failure = .unavailable(cause)
        } catch {
            failure = error
        }
        switch failure {
        case .unavailable(let cause):
            throw .unavailable(
                ExchangeOutage(.keysUnavailable, cause: cause, issuer: session.issuer, rule: session.rule))
        case .refused(let cause):
            try await end(session, because: "the identity provider refused to renew it", request)
            try await refuse(session, request, .sessionOver, ["message": .string(ExactString(cause))], at: now)
            throw .ended
        }
    }

    private func match(
        _ session: SessionRecord, _ renewal: ProviderRenewal?, _ request: ExchangeRequest, at now: Date
    ) async throws(SignInRefusal) -> Grant {
        var subject: VerifiedSubject?
        if case .proves(let proved) = renewal?.vouching { subject = proved }
        if let subject {
            guard subject.issuer == session.issuer, subject.identity == session.subject else {
                try await end(session, because: "the identity provider vouches for somebody else", request)
                try await refuse(session, request, .claim, at: now)
                throw .ended
            }
            if case .refused(let explanation) = rules.match(subject, naming: session.rule) {
                try await refuse(session, request, .noRule, ["explanation": .object(explanation.json)], at: now)
                throw .ended
            }
        }
        // By what the provider says now; where it says nothing, by the claims that were kept.
        let current = subject.flatMap { granted(rules.match($0, naming: session.rule)) } ?? rules.matchAgain(session)
        guard let current else {
            let explanation = rules.explainAgain(session).json
            try await refuse(session, request, .noRule, ["explanation": .object(explanation)], at: now)
            throw .ended
        }
        guard !current.isForBroker, !current.bindsCertificate else {
            try await refuse(session, request, .grantChanged, at: now)
            throw .ended
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

    /// Ends the session with all its tokens.
    private func end(
        _ session: SessionRecord, because reason: String, _ request: ExchangeRequest
    ) async throws(SignInRefusal) {
        inHand.forget(session.id)
        do {
            let wish = try RevocationRequest(.session(session.id), reason: reason)
            _ = try await revocations.revoke(wish, by: .daemon, trace: request.trace)
        } catch {
            throw .unavailable(
                ExchangeOutage(.store, cause: "\(error)", issuer: session.issuer, rule: session.rule))
        }
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
