package import JOSE

/// The sessions of a store, for administrators.
package struct StoredSessions: SessionReader {
    private let store: any ExchangeStore & SessionSearch
    private let state: @Sendable () -> BrokerState
    private let clock: any BrokerClock

    package init(
        _ store: any ExchangeStore & SessionSearch, state: @escaping @Sendable () -> BrokerState,
        clock: any BrokerClock
    ) {
        self.store = store
        self.state = state
        self.clock = clock
    }

    package func sessions(
        _ filter: AdministrationAPI.SessionFilter, _ page: AdministrationAPI.PageRequest
    ) async throws(AdministrationFailure) -> AdministrationAPI.Page<AdministrationAPI.Session> {
        var condition = SessionCondition(subject: filter.subject, rule: filter.rule, issuer: filter.issuer)
        if let claim = filter.claim { condition.claim = try ClaimCondition(claim.name, claim.value) }
        let position: Int64? = try page.number()
        let part: SessionPart
        do {
            part = try await store.sessions(condition, at: clock.now, before: position, limit: page.limit)
        } catch {
            throw .unavailable("\(error)")
        }
        let revocations = state().revocations
        return AdministrationAPI.Page(
            part.sessions.map { AdministrationAPI.Session($0, isRevoked: revocations.kills($0) != nil) },
            next: part.next.map { ExactString(String($0)) })
    }

    package func session(_ id: ExactString) async throws(AdministrationFailure) -> AdministrationAPI.Session? {
        let found: SessionRecord?
        do {
            found = try await store.session(id)
        } catch {
            throw .unavailable("\(error)")
        }
        let revocations = state().revocations
        return found.map { AdministrationAPI.Session($0, isRevoked: revocations.kills($0) != nil) }
    }
}
