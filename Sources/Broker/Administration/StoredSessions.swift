package import JOSE

/// The sessions of a store, for administrators.
package struct StoredSessions: SessionReader {
    package typealias Store = ExchangeStore & SessionSearch & SignInStore & AuditSearch

    /// So many of a session's last audit records are looked at for its tokens.
    private static let recordsOfTokens = 50

    private let store: any Store
    private let rules: @Sendable () -> RuleSet
    private let state: @Sendable () -> BrokerState
    private let clock: any BrokerClock

    /// - Parameter rules: those of the moment.
    package init(
        _ store: any Store, rules: @escaping @Sendable () -> RuleSet,
        state: @escaping @Sendable () -> BrokerState, clock: any BrokerClock
    ) {
        self.store = store
        self.rules = rules
        self.state = state
        self.clock = clock
    }

    package func sessions(
        _ filter: AdministrationAPI.SessionFilter, _ page: AdministrationAPI.PageRequest
    ) async throws(AdministrationFailure) -> AdministrationAPI.Page<AdministrationAPI.Session> {
        var condition = SessionCondition(
            subject: filter.subject, rule: filter.rule, issuer: filter.issuer, signIn: filter.signIn)
        if let claim = filter.claim { condition.claim = try ClaimCondition(claim.name, claim.value) }
        let position: Int64? = try page.number()
        let part: SessionPart
        let signIns: [ExactString: SignInRecord]
        do {
            part = try await store.sessions(condition, at: clock.now, before: position, limit: page.limit)
            signIns = try await store.signIns(ofSessions: part.sessions.map(\.id))
        } catch {
            throw .unavailable("\(error)")
        }
        let revocations = state().revocations
        return AdministrationAPI.Page(
            part.sessions.map {
                AdministrationAPI.Session($0, isRevoked: revocations.kills($0) != nil, signIn: signIns[$0.id])
            },
            next: part.next.map { ExactString(String($0)) })
    }

    package func session(_ id: ExactString) async throws(AdministrationFailure) -> AdministrationAPI.Session? {
        let found: SessionRecord?
        let signIn: SignInRecord?
        let records: [AuditRecord]
        do {
            found = try await store.session(id)
            signIn = try await store.signIns(ofSessions: [id])[id]
            records = try await store.auditRecords(
                AuditCondition(session: id), before: nil, limit: Self.recordsOfTokens
            ).records
        } catch {
            throw .unavailable("\(error)")
        }
        guard let found else { return nil }
        let standing = rules().matchAgain(found).map(AdministrationAPI.Session.Standing.granted) ?? .nothing
        let now = clock.now
        let tokens = records.compactMap { AdministrationAPI.Session.Token($0.event) }.filter { $0.expires > now }
        return AdministrationAPI.Session(
            found, isRevoked: state().revocations.kills(found) != nil, signIn: signIn, standing: standing,
            tokens: tokens)
    }
}
