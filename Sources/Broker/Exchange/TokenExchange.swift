// The exchange path, and the file to read first: a subject token comes in, a gateway token goes out, and between them
// stand five steps, each of which needs what only the one before it can make: `VerifiedSubject` comes from an
// authenticator alone, `Grant` from the rules, `GatewayToken` from the mint, and nothing leaves before it is recorded.
// A gateway token that is to be renewed or narrowed takes the same steps in SessionRenewal.swift.
package import FoundationEssentials
import JOSE
package import Logging
import OpenSSL
import SPIFFE

/// Exchanges a proof of identity for a gateway token (RFC 8693 §2).
package struct TokenExchange: Sendable {
    private let authenticator: JWTAuthenticator
    private let certificates: X509SVIDAuthenticator
    private let actors: ActorAuthenticator
    /// Those that it decides by.
    package let rules: RuleSet
    private let mint: TokenMint
    private let store: any ExchangeStore
    private let keptClaims: AuditConfiguration.Claims
    private let clock: any BrokerClock
    private let log: RefusalLog
    private let refusals: RefusalRecorder
    private let renewal: SessionRenewal
    private let restored: Date?

    /// - Parameters:
    ///   - recent: where refusals are kept that are not recorded.
    ///   - restored: when the store was restored from a backup; nil where it never was.
    package init(
        authenticator: JWTAuthenticator, certificates: X509SVIDAuthenticator = .none, rules: RuleSet, mint: TokenMint,
        verifier: TokenVerifier,
        store: any ExchangeStore, keptClaims: AuditConfiguration.Claims, clock: any BrokerClock, logger: Logger,
        metrics: ExchangeMetrics = .disabled, recent: RecentRefusals = RecentRefusals(), restored: Date? = nil
    ) {
        self.restored = restored
        self.authenticator = authenticator
        self.certificates = certificates
        actors = ActorAuthenticator(authenticator: authenticator, certificates: certificates)
        self.rules = rules
        self.mint = mint
        self.store = store
        self.keptClaims = keptClaims
        self.clock = clock
        log = RefusalLog(logger: logger, clock: clock, metrics: metrics, recent: recent)
        refusals = RefusalRecorder(store: store, log: log)
        renewal = SessionRenewal(
            verifier: verifier, certificates: certificates, actors: actors, rules: rules, mint: mint, store: store,
            refusals: refusals)
    }

    /// A gateway token for the subject that the request proves, durable on return.
    /// - Throws: why there is none. A subject whose signature was good is refused on the record, or with `.unavailable`
    ///   where that record could not be made.
    package func exchange(_ request: ExchangeRequest) async throws(ExchangeRefusal) -> ExchangeResponse {
        var timer = ExchangeTimer(log.metrics, clock)
        do {
            let response = try await decide(request, at: clock.now, &timer)
            timer.granted()
            return response
        } catch {
            timer.refused(error)
            if case .unavailable(let outage) = error { log.note(outage, request) }
            throw error
        }
    }

    private func decide(
        _ request: ExchangeRequest, at now: Date, _ timer: inout ExchangeTimer
    ) async throws(ExchangeRefusal) -> ExchangeResponse {
        if case .gatewayToken(let token) = request.subject {
            return try await renewal.renew(token, request, at: now, &timer)
        }
        // Before the proof is looked at: what is revoked from here on takes this session with it.
        let revision = mint.revocations.highest
        let parties = try await authenticate(request, at: now)
        timer.ended(.authenticate)
        let grant = try await match(parties, request, at: now)
        try await refuseBlocked(parties, grant, request, at: now)
        timer.ended(.match)
        let (token, session) = try await mint(parties, since: revision, grant, request, at: now)
        timer.ended(.mint)
        let recorded = try await record(token, of: session, parties, grant, request, at: now)
        timer.ended(.record)
        return ExchangeResponse(recorded.token, recorded.session, grant)
    }

    /// The subject, and who acts for it.
    private struct Parties {
        let subject: VerifiedSubject
        let actor: JSONObject?
    }

    private func authenticate(
        _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) -> Parties {
        let subject = try await verified(request, at: now)
        guard certificates.confirms(subject.claims, request.certificate, at: now) else {
            try await refuse(subject, request, .certificate, at: now)
            throw .subjectToken
        }
        try await refuseForgotten(subject, request, at: now)
        let actor = try await actors.act(
            for: request, subject.claims, of: subject.issuer, around: nil, at: now
        ) { details throws(ExchangeRefusal) in
            try await refuse(subject, request, .actor, details, at: now)
        }
        return Parties(subject: subject, actor: actor)
    }

    private func verified(
        _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) -> VerifiedSubject {
        let failure: AuthenticationFailure
        do throws(AuthenticationFailure) {
            switch request.subject {
            case .proof(let token): return try await authenticator.authenticate(token, at: now)
            case .certificate(let peer): return try certificates.authenticate(peer, at: now)
            case .gatewayToken: throw AuthenticationFailure(.type)
            }
        } catch {
            failure = error
        }
        try await refuse(failure, request, at: now)
        throw if case .certificate = failure.reason { .client } else { .subjectToken }
    }

    /// How often a proof was used that may be older than the restoring of the store, nobody knows any more; nor whether
    /// its session was revoked. Where uses are counted, it is not taken.
    private func refuseForgotten(
        _ subject: VerifiedSubject, _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) {
        guard let restored, let use = subject.use, use.notIssuedBefore <= restored else { return }
        try await refuse(subject, request, .issuedBeforeRestore, at: now)
        throw .subjectToken
    }

    private func refuse(
        _ error: AuthenticationFailure, _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) {
        if case .keysUnavailable(let cause) = error.reason {
            throw .unavailable(ExchangeOutage(.keysUnavailable, cause: cause))
        }
        guard let signer = error.signer else {
            // Anybody can send this, so it must not fill the store.
            log.note(error, request)
            return
        }
        let claims = KeptClaims.of(signer.claims, signedBy: signer.issuer, rules: rules, keeping: keptClaims)
        try await refusals.record(
            AuditEvent(
                refusing: request, at: now, issuer: signer.issuer, subject: signer.identity,
                reason: error.reason.code,
                adding: ["message": .string(ExactString(error.reason.description)), "claims": .object(claims)]))
    }

    private func match(
        _ parties: Parties, _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) -> Grant {
        switch rules.match(
            parties.subject, naming: request.rule, asking: request.scope, for: request.targets,
            presenting: request.federation)
        {
        case .refused(let explanation):
            var details: JSONObject = ["explanation": .object(explanation.json)]
            if let asked = request.asked { _ = details.append("asked", .object(asked)) }
            // Whoever is blocked learns nothing, nor does anybody of a rule that is.
            let silences = blocked(parties, explanation.ownRule, at: now)
            if let target = silences ?? blocked(parties, explanation.rules.first?.rule, at: now) {
                _ = details.append("blocked", .object(target.json))
            }
            try await refuse(parties.subject, request, .noRule, details, at: now)
            guard silences == nil, let failures = explanation.ownFailures else { throw .subjectToken }
            throw .unmatched(failures)
        case .granted(let grant):
            let failure: Grant.NarrowingFailure
            do {
                return try grant.narrowed(toScope: request.scope, targets: request.targets)
            } catch {
                failure = error
            }
            try await refuse(
                parties.subject, request, RefusalReason(failure), grant.exceeded(by: request), rule: grant.rule, at: now
            )
            throw ExchangeRefusal(failure)
        }
    }

    /// Whoever is blocked is refused like anybody to whom nothing is granted. A block that comes after this has a higher
    /// number than the session, and kills it.
    private func refuseBlocked(
        _ parties: Parties, _ grant: Grant, _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) {
        guard let target = blocked(parties, grant.rule, at: now) else { return }
        try await refuse(
            parties.subject, request, .blocked, ["blocked": .object(target.json)], rule: grant.rule, at: now)
        throw .subjectToken
    }

    private func blocked(_ parties: Parties, _ rule: ExactString?, at now: Date) -> Revocation.Target? {
        mint.revocations.blocks(
            subject: parties.subject.identity, actor: parties.actor, rule: rule, at: now)
    }

    /// A session, and its first token.
    private func mint(
        _ parties: Parties, since revision: UInt64, _ grant: Grant, _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) -> (GatewayToken, SessionRecord) {
        let binding = try await binding(parties, grant, request, at: now)
        let session: SessionRecord
        do {
            session = try mint.session(
                for: parties.subject, since: revision, grant, actor: parties.actor, binding: binding,
                keeping: kept(parties.subject),
                at: now)
        } catch {
            throw .unavailable(.minting(error, parties.subject.issuer, grant.rule))
        }
        return (try await token(of: session, parties, grant, request, at: now), session)
    }

    /// The certificate that the grant binds tokens to; nil where it does not.
    private func binding(
        _ parties: Parties, _ grant: Grant, _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) -> CertificateFingerprint? {
        guard grant.bindsCertificate else { return nil }
        if let fingerprint = certificates.fingerprint(of: request.certificate, at: now) { return fingerprint }
        try await refuse(parties.subject, request, .certificate, rule: grant.rule, at: now)
        throw .certificate
    }

    private func token(
        of session: SessionRecord, _ parties: Parties, _ grant: Grant, _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) -> GatewayToken {
        let failure: MintingFailure
        do {
            return try mint.token(of: session, grant, at: now)
        } catch {
            failure = error
        }
        guard let reason = RefusalReason(failure) else {
            throw .unavailable(.minting(failure, session.issuer, grant.rule))
        }
        try await refuse(parties.subject, request, reason, rule: grant.rule, sessionID: session.id, at: now)
        throw .subjectToken
    }

    /// Makes the token's record durable. A subject token that was presented before, and may be again, gets a token of the
    /// session that it opened then.
    private func record(
        _ token: GatewayToken, of session: SessionRecord, _ parties: Parties, _ grant: Grant,
        _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) -> (token: GatewayToken, session: SessionRecord) {
        let use = parties.subject.use?.of(grant)
        switch try await commit(session, granted(token, session, parties, grant, request, at: now), use) {
        case .recorded:
            log.metrics.granted(issuer: session.issuer, rule: grant.rule, session: .opened)
            return (token, session)
        case .joins(let first):
            let token = try await self.token(of: first, parties, grant, request, at: now)
            // Between the two others may have presented it as often as it may be.
            switch try await commit(first, granted(token, first, parties, grant, request, at: now), use) {
            case .recorded:
                log.metrics.granted(issuer: first.issuer, rule: grant.rule, session: .joined)
                return (token, first)
            case .revoked: try await refuse(parties.subject, request, .revoked, first, at: now)
            case .joins, .exhausted: try await refuse(parties.subject, request, .replayed, rule: grant.rule, at: now)
            }
        case .exhausted: try await refuse(parties.subject, request, .replayed, rule: grant.rule, at: now)
        case .revoked: try await refuse(parties.subject, request, .revoked, session, at: now)
        }
        throw .subjectToken
    }

    private func commit(
        _ session: SessionRecord, _ event: AuditEvent, _ use: SubjectTokenUse?
    ) async throws(ExchangeRefusal) -> UseOutcome {
        do {
            if let use { return try await store.record(session, event, using: use) }
            return try await store.record(session, event)
        } catch {
            throw .unavailable(.storing(error, event))
        }
    }

    private func granted(
        _ token: GatewayToken, _ session: SessionRecord, _ parties: Parties, _ grant: Grant,
        _ request: ExchangeRequest, at now: Date
    ) -> AuditEvent {
        var details: JSONObject = ["claims": .object(session.claims)]
        details.append(absentFrom: parties.subject, rules, keptClaims)
        return AuditEvent(
            granted: .exchangeGranted, token, session, grant, for: request, at: now, adding: details)
    }

    private func refuse(
        _ subject: VerifiedSubject, _ request: ExchangeRequest, _ reason: RefusalReason, _ details: JSONObject = [:],
        rule: ExactString? = nil, sessionID: ExactString? = nil, at now: Date
    ) async throws(ExchangeRefusal) {
        var details = details
        _ = details.append("claims", .object(kept(subject)))
        details.append(absentFrom: subject, rules, keptClaims)
        try await refusals.record(
            AuditEvent(
                refusing: request, at: now, issuer: subject.issuer, subject: subject.identity, rule: rule,
                sessionID: sessionID, reason: reason.text, adding: details))
    }

    private func refuse(
        _ subject: VerifiedSubject, _ request: ExchangeRequest, _ reason: RefusalReason, _ session: SessionRecord,
        at now: Date
    ) async throws(ExchangeRefusal) {
        try await refuse(subject, request, reason, rule: session.rule, sessionID: session.id, at: now)
    }

    private func kept(_ subject: VerifiedSubject) -> JSONObject {
        KeptClaims.of(subject.claims, signedBy: subject.issuer, rules: rules, keeping: keptClaims)
    }
}

extension JSONObject {
    /// Which claims that a rule reads the subject does not have.
    fileprivate mutating func append(
        absentFrom subject: VerifiedSubject, _ rules: RuleSet, _ keeping: AuditConfiguration.Claims
    ) {
        let absent = KeptClaims.absent(
            from: subject.claims, signedBy: subject.issuer, rules: rules, keeping: keeping)
        if let absent { _ = append("absent", absent) }
    }
}
