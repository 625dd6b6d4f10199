// Signing in and staying so: what a device gets that somebody approved (`redeem`), and what its refresh token gets
// (`refresh`). Both take the steps of an exchange, with what was approved, or the sign-in, in the place of the proof.
import FoundationEssentials
package import JOSE
package import Logging
import OpenSSL

/// Gives gateway tokens and refresh tokens to devices that people signed in on.
package struct SignIn: Sendable {
    package typealias Store = ExchangeStore & SignInStore

    /// Those that wait for approval.
    package let devices: DeviceAuthorizations
    let rules: RuleSet
    let mint: TokenMint
    let store: any Store
    let masterKey: MasterKey
    let revocations: Revocations
    let provider: (any IdentityProvider)?
    let logouts: LogoutTokens
    let signOuts: SignOuts
    let turns: SignInTurns
    let inHand: ProviderTokensInHand
    let wordless: WordlessRefusals
    let keptClaims: AuditConfiguration.Claims
    let clock: any BrokerClock
    let random: any RandomSource
    let log: RefusalLog
    let refusals: RefusalRecorder

    /// What is the same under every policy.
    package struct Parts: Sendable {
        package let devices: DeviceAuthorizations
        package let masterKey: MasterKey
        package let provider: (any IdentityProvider)?
        let logouts: LogoutTokens
        let signOuts = SignOuts()
        let turns = SignInTurns()
        let inHand = ProviderTokensInHand()
        let wordless = WordlessRefusals()

        /// - Parameters:
        ///   - provider: nil where nobody is asked again before a sign-in is renewed.
        ///   - logouts: without them no logout token is good.
        package init(
            devices: DeviceAuthorizations, masterKey: MasterKey, provider: (any IdentityProvider)? = nil,
            logouts: LogoutTokens = LogoutTokens { nil }
        ) {
            self.logouts = logouts
            self.devices = devices
            self.masterKey = masterKey
            self.provider = provider
        }
    }

    package init(
        _ parts: Parts, rules: RuleSet, mint: TokenMint, store: any Store, revocations: Revocations,
        keptClaims: AuditConfiguration.Claims, clock: any BrokerClock, random: any RandomSource = SystemRandom(),
        logger: Logger, metrics: ExchangeMetrics = .disabled, recent: RecentRefusals = RecentRefusals()
    ) {
        devices = parts.devices
        masterKey = parts.masterKey
        provider = parts.provider
        logouts = parts.logouts
        signOuts = parts.signOuts
        turns = parts.turns
        inHand = parts.inHand
        wordless = parts.wordless
        self.rules = rules
        self.mint = mint
        self.store = store
        self.revocations = revocations
        self.keptClaims = keptClaims
        self.clock = clock
        self.random = random
        log = RefusalLog(logger: logger, clock: clock, metrics: metrics, recent: recent)
        refusals = RefusalRecorder(store: store, log: log)
    }

    /// What the device gets that polls with this code (RFC 8628 §3.4): a token of a new session, once somebody approved.
    package func redeem(
        _ deviceCode: SecretText, from client: ExactString, under trace: TraceID
    ) async throws(SignInRefusal) -> SignInResponse {
        let approval: Approval
        switch devices.poll(deviceCode) {
        case .pending: throw .pending
        case .slowDown: throw .slowDown
        case .denied(let denial): throw .denied(denial)
        case .expired: throw .expired
        case .approved(let found): approval = found
        }
        let request = ExchangeRequest(trace: trace, client: client, subject: .proof(deviceCode))
        // Taken, so the device is told at its next poll that the code is used up: it has to begin anew.
        guard !isSignedOut(approval) else { throw .denied(nil) }
        do throws(SignInRefusal) {
            let response = try await open(approval, request, at: clock.now)
            // Signed out while the session was being recorded, which was not yet there to be ended.
            guard isSignedOut(approval) else { return response }
            try await endSignedOut(response.token.sessionID, request)
            throw .denied(nil)
        } catch {
            if case .unavailable(let outage) = error {
                log.note(outage, request)
                devices.putBack(approval, of: deviceCode)
            }
            throw error
        }
    }

    private func isSignedOut(_ approval: Approval) -> Bool {
        let subject = approval.subject
        return isSignedOut(
            subject.identity, providerSession: approval.providerSession, of: subject.issuer, since: approval.proved)
    }

    private func open(
        _ approval: Approval, _ request: ExchangeRequest, at now: Date
    ) async throws(SignInRefusal) -> SignInResponse {
        let subject = approval.subject
        // Minutes may have passed since it was shown to somebody, and other rules may be in force.
        guard let grant = try await grant(to: subject, naming: approval.grant.rule, request, at: now) else {
            throw .denied(nil)
        }
        let kept = KeptClaims.of(subject.claims, signedBy: subject.issuer, rules: rules, keeping: keptClaims)
        let session: SessionRecord
        do {
            session = try mint.session(
                for: subject, since: approval.revision, grant, actor: nil, keeping: kept, at: now)
        } catch {
            throw .unavailable(.minting(error, subject.issuer, grant.rule))
        }
        let token = try await minted(session, grant, request, at: now)
        var details: JSONObject = ["claims": .object(kept), "sign_in": .object(approval.provenance)]
        let absent = KeptClaims.absent(
            from: subject.claims, signedBy: subject.issuer, rules: rules, keeping: keptClaims)
        if let absent { _ = details.append("absent", absent) }
        let event = AuditEvent(
            granted: .exchangeGranted, token, session, grant, for: request, at: now, adding: details)
        try await makeRoom(for: session, request)
        let refreshToken = try await record(session, token, approval, event, at: now)
        log.metrics.granted(issuer: session.issuer, rule: grant.rule, session: .opened)
        return SignInResponse(
            token: ExchangeResponse(token, session, grant), refreshToken: refreshToken, email: approval.email)
    }

    /// What the rules grant the subject; nil, on the record, where that is nothing that a device could have.
    /// - Parameter rule: the only one that is tried; nil tries all.
    func grant(
        to subject: VerifiedSubject, naming rule: ExactString?, _ request: ExchangeRequest, at now: Date
    ) async throws(SignInRefusal) -> Grant? {
        let grant: Grant
        switch rules.matchDevice(subject, naming: rule) {
        case .granted(let granted): grant = granted
        case .refused(let explanation):
            guard case .granted(let other) = rules.match(subject, naming: rule) else {
                try await refuse(subject, request, .noRule, ["explanation": .object(explanation.json)], at: now)
                return nil
            }
            // A rule matches, and it is none that a device may have.
            try await refuse(subject, request, other.isForBroker ? .forBroker : .certificate, at: now)
            return nil
        }
        let target = mint.revocations.blocks(subject: subject.identity, actor: nil, rule: grant.rule, at: now)
        guard let target else { return grant }
        try await refuse(subject, request, .blocked, ["blocked": .object(target.json)], at: now)
        return nil
    }

    func minted(
        _ session: SessionRecord, _ grant: Grant, _ request: ExchangeRequest, at now: Date
    ) async throws(SignInRefusal) -> GatewayToken {
        let failure: MintingFailure
        do {
            return try mint.token(of: session, grant, at: now)
        } catch {
            failure = error
        }
        guard let reason = RefusalReason(failure) else {
            throw .unavailable(.minting(failure, session.issuer, grant.rule))
        }
        try await refuse(session, request, reason, at: now)
        throw .ended(.time)
    }

    func stored(
        _ event: AuditEvent, _ body: () async throws(StoreFailure) -> UseOutcome
    ) async throws(SignInRefusal) -> UseOutcome {
        do throws(StoreFailure) {
            return try await body()
        } catch {
            throw .unavailable(.storing(error, event))
        }
    }

    private func refuse(
        _ subject: VerifiedSubject, _ request: ExchangeRequest, _ reason: RefusalReason, _ details: JSONObject = [:],
        at now: Date
    ) async throws(SignInRefusal) {
        let kept = KeptClaims.of(subject.claims, signedBy: subject.issuer, rules: rules, keeping: keptClaims)
        var details = details
        _ = details.append("claims", .object(kept))
        try await recordRefusal(
            AuditEvent(
                refusing: request, at: now, issuer: subject.issuer, subject: subject.identity, reason: reason.text,
                adding: details))
    }

    func refuse(
        _ session: SessionRecord, _ request: ExchangeRequest, _ reason: RefusalReason, _ details: JSONObject = [:],
        at now: Date
    ) async throws(SignInRefusal) {
        try await recordRefusal(
            AuditEvent(
                refusing: request, at: now, issuer: session.issuer, subject: session.subject, rule: session.rule,
                sessionID: session.id, reason: reason.text, adding: details))
    }

    private func recordRefusal(_ event: AuditEvent) async throws(SignInRefusal) {
        do {
            try await store.record(event)
        } catch {
            throw .unavailable(.storing(error, event))
        }
        log.note(event)
    }
}
