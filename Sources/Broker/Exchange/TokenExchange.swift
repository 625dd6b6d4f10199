// The exchange path, and the file to read first: a subject token comes in, a gateway token goes out, and between them
// stand five steps, each of which needs what only the one before it can make: `VerifiedSubject` comes from an
// authenticator alone, `Grant` from the rules, `GatewayToken` from the mint, and nothing leaves before it is recorded.
import FoundationEssentials
import JOSE
import OpenSSL
package import Logging

/// Exchanges a proof of identity for a gateway token (RFC 8693 §2).
package struct TokenExchange: Sendable {
    private let authenticator: JWTAuthenticator
    private let rules: RuleSet
    private let mint: TokenMint
    private let store: any ExchangeStore
    private let keptClaims: AuditConfiguration.Claims
    private let clock: any BrokerClock
    private let refusals: RefusalLog

    package init(
        authenticator: JWTAuthenticator, rules: RuleSet, mint: TokenMint, store: any ExchangeStore,
        keptClaims: AuditConfiguration.Claims, clock: any BrokerClock, logger: Logger
    ) {
        self.authenticator = authenticator
        self.rules = rules
        self.mint = mint
        self.store = store
        self.keptClaims = keptClaims
        self.clock = clock
        refusals = RefusalLog(logger: logger, clock: clock)
    }

    /// A gateway token for the subject that the request proves, durable on return.
    /// - Throws: why there is none. A subject whose signature was good is refused on the record, or with `.unavailable`
    ///   where that record could not be made.
    package func exchange(_ request: ExchangeRequest) async throws(ExchangeRefusal) -> ExchangeResponse {
        let now = clock.now
        let subject = try await authenticate(request, at: now)
        let grant = try await match(subject, request, at: now)
        let (token, session, event) = try mint(subject, grant, request, at: now)
        try await record(session, event)
        return respond(token, session, grant)
    }

    private func authenticate(
        _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) -> VerifiedSubject {
        do {
            return try await authenticator.authenticate(request.subjectToken, at: now)
        } catch {
            if case .keysUnavailable(let cause) = error.reason {
                refusals.note(error, request)
                throw .unavailable(cause)
            }
            guard let signer = error.signer else {
                // Anybody can send this, so it must not fill the store.
                refusals.note(error, request)
                throw .subjectToken
            }
            let claims = KeptClaims.of(signer.claims, signedBy: signer.issuer, rules: rules, keeping: keptClaims)
            try await recordRefusal(
                AuditEvent(
                    time: now, trace: request.trace, kind: .exchangeRefused, issuer: signer.issuer,
                    subject: signer.identity, reason: error.reason.code,
                    details: [
                        "message": .string(ExactString(error.reason.description)), "claims": .object(claims),
                    ]))
            throw .subjectToken
        }
    }

    private func match(
        _ subject: VerifiedSubject, _ request: ExchangeRequest, at now: Date
    ) async throws(ExchangeRefusal) -> Grant {
        switch rules.match(subject, naming: request.rule) {
        case .refused(let explanation):
            try await recordRefusal(
                refusal(of: subject, request, "no_rule", ["explanation": .object(explanation.json)], at: now))
            throw .subjectToken
        case .granted(let grant):
            let failure: Grant.NarrowingFailure
            do {
                return try grant.narrowed(toScope: request.scope, targets: request.targets)
            } catch {
                failure = error
            }
            let details: JSONObject = ["rule": .string(grant.rule)]
            let reason = failure == .scope ? "scope" : "target"
            try await recordRefusal(refusal(of: subject, request, reason, details, at: now))
            throw failure == .scope ? .scope : .target
        }
    }

    private func mint(
        _ subject: VerifiedSubject, _ grant: Grant, _ request: ExchangeRequest, at now: Date
    ) throws(ExchangeRefusal) -> (GatewayToken, SessionRecord, AuditEvent) {
        let claims = kept(subject)
        do {
            let (token, session) = try mint.mint(subject, grant, keeping: claims, at: now)
            let details: JSONObject = [
                "claims": .object(claims), "scope": .array(grant.scope.map { .string($0.text) }),
                "audience": .string(grant.audience), "expires": .number(token.expiry.timeIntervalSince1970),
            ]
            let event = AuditEvent(
                time: now, trace: request.trace, kind: .exchangeGranted, issuer: subject.issuer,
                subject: subject.identity, rule: grant.rule, sessionID: session.id, tokenID: token.id, details: details)
            return (token, session, event)
        } catch {
            throw unavailable(error.description, request.trace)
        }
    }

    private func record(_ session: SessionRecord, _ event: AuditEvent) async throws(ExchangeRefusal) {
        do {
            try await store.record(session, event)
        } catch {
            throw unavailable(error.description, event.trace)
        }
    }

    private func respond(_ token: GatewayToken, _ session: SessionRecord, _ grant: Grant) -> ExchangeResponse {
        ExchangeResponse(
            accessToken: token.text, lifetime: token.lifetime, scope: grant.scope, sessionID: session.id)
    }

    private func refusal(
        of subject: VerifiedSubject, _ request: ExchangeRequest, _ reason: String, _ details: JSONObject, at now: Date
    ) -> AuditEvent {
        var details = details
        _ = details.append("claims", .object(kept(subject)))
        return AuditEvent(
            time: now, trace: request.trace, kind: .exchangeRefused, issuer: subject.issuer, subject: subject.identity,
            reason: reason, details: details)
    }

    private func kept(_ subject: VerifiedSubject) -> JSONObject {
        KeptClaims.of(subject.claims, signedBy: subject.issuer, rules: rules, keeping: keptClaims)
    }

    private func recordRefusal(_ event: AuditEvent) async throws(ExchangeRefusal) {
        do {
            try await store.record(event)
        } catch {
            throw unavailable(error.description, event.trace)
        }
        refusals.note(event)
    }

    private func unavailable(_ cause: String, _ trace: TraceID) -> ExchangeRefusal {
        refusals.noteOutage(cause, trace)
        return .unavailable(cause)
    }
}
