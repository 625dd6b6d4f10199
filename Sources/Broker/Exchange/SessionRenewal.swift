// A gateway token comes in, and one of the same session or of a new one below it goes out, with what the first one had and
// its rule still grants: never more.
import FoundationEssentials
import JOSE

/// Renews and narrows gateway tokens.
///
/// Renewing copies the session into a new token. Less scope, or an actor, opens a session below it, which ends with the
/// presented token at the latest.
struct SessionRenewal: Sendable {
    let verifier: TokenVerifier
    let certificates: X509SVIDAuthenticator
    let actors: ActorAuthenticator
    let rules: RuleSet
    let mint: TokenMint
    let store: any ExchangeStore
    let refusals: RefusalRecorder

    func renew(
        _ token: SecretText, _ request: ExchangeRequest, at now: Date, _ timer: inout ExchangeTimer
    ) async throws(ExchangeRefusal) -> ExchangeResponse {
        // Each protocol says so in its own words before; a session keeps its rule in any case.
        guard request.rule == nil else { throw .subjectToken }
        let claims = try await authenticate(token, request, at: now)
        try await refuseOthersHands(claims, request, at: now)
        try await refuseBrokersOwn(claims, request, at: now)
        let session = try await session(of: claims, request, at: now)
        let actor = try await actor(for: session, request, at: now)
        timer.ended(.authenticate)
        let grant = try await match(session, claims, request, at: now)
        try await refuseBlocked(session, actor, request, at: now)
        let isRenewal = actor == nil && grant.isWhole
        if isRenewal { try await refuseSignedIn(session, request, at: now) }
        timer.ended(.match)
        let next = try await isRenewal ? session : open(below: session, grant, actor, claims, request, at: now)
        let minted = try await minted(next, grant, from: claims, below: session, request, at: now)
        timer.ended(.mint)
        try await record(minted, next, grant, from: claims, isRenewal: isRenewal, request, at: now)
        timer.ended(.record)
        return ExchangeResponse(minted, next, grant)
    }

    private func authenticate(
        _ token: SecretText, _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) -> GatewayClaims {
        let failure: UnacceptableGatewayToken
        do {
            return try verifier.claimsInAnyHands(of: token, at: now)
        } catch {
            failure = error
        }
        if let claims = failure.claims {
            try await refuse(claims, request, RefusalReason(failure.fault), at: now)
        } else {
            // Anybody can send this, so it must not fill the store.
            refusals.log.note(failure.fault, request)
        }
        throw .subjectToken
    }

    /// A token that is bound to a certificate is of no use without it (RFC 8705 §3): most likely it was stolen.
    private func refuseOthersHands(
        _ claims: GatewayClaims, _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) {
        guard !claims.mayBeUsed(with: certificates.fingerprint(of: request.certificate, at: now)) else { return }
        try await refusals.record(
            AuditEvent(
                refusing: request, at: now, issuer: claims.issuer, subject: claims.subject, rule: claims.rule,
                sessionID: claims.sessionID, reason: RefusalReason.certificate.text))
        throw .subjectToken
    }

    /// A token with the broker's own scopes is neither renewed nor narrowed.
    private func refuseBrokersOwn(
        _ claims: GatewayClaims, _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) {
        guard claims.isForBroker else { return }
        try await refuse(claims, request, .forBroker, at: now)
        throw .subjectToken
    }

    private func session(
        of claims: GatewayClaims, _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) -> SessionRecord {
        let stored: SessionRecord?
        do {
            stored = try await store.session(claims.sessionID)
        } catch {
            throw .unavailable(
                ExchangeOutage(.store, cause: error.description, issuer: claims.issuer, rule: claims.rule))
        }
        if let stored, stored.lineage == claims.lineage, stored.subject == claims.subject, stored.rule == claims.rule,
            stored.binding == claims.binding, stored.revision == claims.revision
        {
            return stored
        }
        // Ours by its signature, and yet unknown: a store that was set back. There is nothing to match again.
        try await refuse(claims, request, .sessionUnknown, at: now)
        throw .subjectToken
    }

    private func actor(
        for session: SessionRecord, _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) -> JSONObject? {
        try await actors.act(
            for: request, session.claims, of: session.issuer, around: session.actor, at: now
        ) { details throws(ExchangeRefusal) in
            try await refuse(session, request, .actor, details, at: now)
        }
    }

    private func match(
        _ session: SessionRecord, _ claims: GatewayClaims, _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) -> Grant {
        guard let current = rules.matchAgain(session) else {
            let explanation = rules.explainAgain(session).json
            try await refuse(session, request, .noRule, ["explanation": .object(explanation)], at: now)
            throw .subjectToken
        }
        // A rule that binds by now grants nothing to a session from before it did.
        let isBoundAsGranted = session.binding != nil || !current.bindsCertificate
        guard isBoundAsGranted, let kept = current.intersected(with: claims) else {
            try await refuse(session, request, .grantChanged, at: now)
            throw .subjectToken
        }
        let failure: Grant.NarrowingFailure
        do {
            return try kept.narrowed(toScope: request.scope, targets: request.targets)
        } catch {
            failure = error
        }
        try await refuse(session, request, RefusalReason(failure), kept.exceeded(by: request), at: now)
        throw ExchangeRefusal(failure)
    }

    /// The session itself is dead by a block that came after it. Who comes to act in it need not have been there then.
    private func refuseBlocked(
        _ session: SessionRecord, _ actor: JSONObject?, _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) {
        let target = mint.revocations.blocks(
            subject: session.subject, actor: actor ?? session.actor, rule: session.rule, at: now)
        guard let target else { return }
        try await refuse(session, request, .blocked, ["blocked": .object(target.json)], at: now)
        throw .subjectToken
    }

    /// A session that somebody signed in to is renewed by its refresh token alone: then the provider is asked whether he is
    /// there yet. A session below it may be opened, since that ends with the presented token.
    private func refuseSignedIn(
        _ session: SessionRecord, _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) {
        let isSignIn: Bool
        do {
            isSignIn = try await store.isSignIn(session.id)
        } catch {
            throw .unavailable(
                ExchangeOutage(.store, cause: error.description, issuer: session.issuer, rule: session.rule))
        }
        guard isSignIn else { return }
        try await refuse(session, request, .signedIn, at: now)
        throw .signedIn
    }

    private func open(
        below session: SessionRecord, _ grant: Grant, _ actor: JSONObject?, _ claims: GatewayClaims,
        _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) -> SessionRecord {
        guard session.lineage.count < SessionRecord.maximumLineage else {
            try await refuse(session, request, .lineage, at: now)
            throw .subjectToken
        }
        do {
            let expiry = Date(timeIntervalSince1970: claims.expiry)
            return try mint.session(
                below: session, actor: actor ?? session.actor, endingAt: min(expiry, session.latestEnd(under: grant)),
                at: now)
        } catch {
            throw .unavailable(.minting(error, session.issuer, session.rule))
        }
    }

    /// - Parameters:
    ///   - parent: what the presented token says.
    ///   - presented: its session, for the record.
    private func minted(
        _ session: SessionRecord, _ grant: Grant, from parent: GatewayClaims, below presented: SessionRecord,
        _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) -> GatewayToken {
        let failure: MintingFailure
        do {
            return try mint.token(of: session, grant, descendingFrom: parent.keys, at: now)
        } catch {
            failure = error
        }
        guard let reason = RefusalReason(failure) else {
            throw .unavailable(.minting(failure, session.issuer, session.rule))
        }
        try await refuse(presented, request, reason, at: now)
        throw .subjectToken
    }

    private func record(
        _ token: GatewayToken, _ session: SessionRecord, _ grant: Grant, from parent: GatewayClaims, isRenewal: Bool,
        _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) {
        // What nobody has recorded was made up by somebody who has the key.
        let presented: JSONObject = ["token": .string(parent.tokenID), "key": .string(parent.keyID)]
        let event = AuditEvent(
            granted: isRenewal ? .sessionRenewed : .sessionNarrowed, token, session, grant, for: request, at: now,
            adding: ["parent": .object(presented)])
        let outcome: UseOutcome
        do {
            outcome =
                try await isRenewal ? store.record(event, renewing: session) : store.record(session, event)
        } catch {
            throw .unavailable(.storing(error, event))
        }
        guard case .recorded = outcome else {
            try await refuse(session, request, .revoked, at: now)
            throw .subjectToken
        }
        refusals.log.metrics.granted(
            issuer: session.issuer, rule: grant.rule, session: isRenewal ? .renewed : .narrowed)
    }

    /// Refuses by what the token itself says: its session is not to be looked at, or not there.
    private func refuse(
        _ claims: GatewayClaims, _ request: ExchangeRequest, _ reason: RefusalReason, at now: Date
    ) async throws(ExchangeRefusal) {
        try await refusals.record(
            AuditEvent(
                refusing: request, at: now, issuer: claims.issuer, subject: claims.subject, rule: claims.rule,
                sessionID: claims.sessionID, reason: reason.text))
    }

    private func refuse(
        _ session: SessionRecord, _ request: ExchangeRequest, _ reason: RefusalReason, _ details: JSONObject = [:],
        at now: Date
    ) async throws(ExchangeRefusal) {
        try await refusals.record(
            AuditEvent(
                refusing: request, at: now, issuer: session.issuer, subject: session.subject, rule: session.rule,
                sessionID: session.id, reason: reason.text, adding: details))
    }
}
