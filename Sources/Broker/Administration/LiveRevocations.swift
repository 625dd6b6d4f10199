import FoundationEssentials
import JOSE

/// Revocations as administrators reach them.
package struct LiveRevocations: RevocationAdministration {
    /// So many of the sessions that an order would end are shown.
    private static let shown = 100
    private static let step = 500

    /// For so long a revocation that is in force looks for a session that it ended, before it answers.
    package static let standardSearchTime: Duration = .milliseconds(80)

    private let revocations: Revocations
    private let search: any ExchangeStore & SessionSearch
    private let configuration: @Sendable () -> BrokerConfiguration
    private let state: @Sendable () -> BrokerState
    private let outstanding: OutstandingTokens
    private let clock: any BrokerClock
    private let searchTime: Duration

    /// - Parameter configuration: that of the moment.
    package init(
        _ revocations: Revocations, search: any ExchangeStore & SessionSearch,
        configuration: @escaping @Sendable () -> BrokerConfiguration, state: @escaping @Sendable () -> BrokerState,
        outstanding: OutstandingTokens, clock: any BrokerClock, searchTime: Duration = standardSearchTime
    ) {
        self.revocations = revocations
        self.search = search
        self.configuration = configuration
        self.state = state
        self.outstanding = outstanding
        self.searchTime = searchTime
        self.clock = clock
    }

    package func revocations(
        _ page: AdministrationAPI.PageRequest
    ) async throws(AdministrationFailure) -> AdministrationAPI.Page<AdministrationAPI.Revocation> {
        let position: UInt64? = try page.number()
        // One more than is asked for says whether there is a next page.
        let found = revocations.list(before: position, limit: page.limit + 1)
        let part = found.prefix(page.limit)
        let next = found.count > page.limit ? part.last.map { ExactString(String($0.revocation.sequence)) } : nil
        return AdministrationAPI.Page(
            part.map { AdministrationAPI.Revocation($0.revocation, isDurable: $0.isDurable) }, next: next)
    }

    package func revocation(
        _ sequence: UInt64
    ) async throws(AdministrationFailure) -> AdministrationAPI.Revocation? {
        revocations.revocation(sequence).map { AdministrationAPI.Revocation($0.revocation, isDurable: $0.isDurable) }
    }

    package func reach(of sequence: UInt64) async -> AdministrationAPI.Reach {
        let offlineUntil = await outstanding.latestExpiry()
        let followers = revocations.followers(reached: sequence)
        return AdministrationAPI.Reach(
            readers: followers.count, behind: followers.behind, offlineUntil: offlineUntil)
    }

    package func preview(
        _ order: AdministrationAPI.RevocationOrder
    ) async throws(AdministrationFailure) -> AdministrationAPI.RevocationPreview {
        let inForce = state().revocations
        if case .claim(let name, let value) = order.what {
            let condition = try ClaimCondition(name, value)
            let found = try await sessions(
                SessionCondition(claim: condition), atMost: Revocations.maximumSessions + 1
            ) { inForce.kills($0) == nil }
            return preview(found, notes.findings(condition, isMatched: !found.isEmpty))
        }
        let target = try Revocation.Target(order)
        let findings = { (isMatched: Bool?, isRecorded: Bool) in
            notes.findings(
                target, order.block, inForce: revocations.block(of: target), isMatched: isMatched,
                isRecorded: isRecorded)
        }
        // Of a token, and of what a key has signed, the session stays.
        guard ![.token, .key].contains(target.kind) else { return preview([], findings(nil, true)) }
        let after = RevocationSet(asIfRevoking: target, at: clock.now)
        let found = try await sessions(
            SessionCondition(of: target), atMost: Revocations.maximumSessions + 1
        ) { inForce.kills($0) == nil && after.kills($0) != nil }
        let isRecorded = try await isRecorded(target)
        return preview(found, findings(!found.isEmpty, isRecorded))
    }

    private func preview(
        _ sessions: [SessionRecord], _ findings: AdministrationAPI.RevocationFindings
    ) -> AdministrationAPI.RevocationPreview {
        AdministrationAPI.RevocationPreview(
            sessionCount: sessions.count,
            sessions: sessions.prefix(Self.shown).map { AdministrationAPI.Session($0, isRevoked: false) }, findings)
    }

    package func revoke(
        _ order: AdministrationAPI.RevocationOrder, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> AdministrationAPI.RevocationResult {
        let reason = order.reason?.string
        if case .claim(let name, let value) = order.what {
            let condition = try ClaimCondition(name, value)
            let outcome: RevocationOutcome
            do throws(RevocationRefusal) {
                outcome = try await revocations.revoke(
                    where: condition, reason: reason, by: context.caller, trace: context.trace)
            } catch {
                throw AdministrationFailure(error)
            }
            return result(outcome, notes.findings(condition, isMatched: !outcome.revocations.isEmpty))
        }
        let target = try Revocation.Target(order)
        // The ring has to lose it as well.
        if case .key = target { throw .invalid("a signing key is revoked among the keys") }
        let before = state().revocations
        let outcome: RevocationOutcome
        do throws(RevocationRefusal) {
            let request = try Self.request(target, reason, order.block)
            outcome = try await revocations.revoke(request, by: context.caller, trace: context.trace)
        } catch {
            throw AdministrationFailure(error)
        }
        // It is in force by now; what cannot be looked up is not worth a failure.
        let isMatched = await hasEndedInTime(target, before)
        let isRecorded = (try? await isRecorded(target)) ?? true
        return result(
            outcome,
            notes.findings(
                target, order.block, inForce: revocations.block(of: target), isMatched: isMatched,
                isRecorded: isRecorded))
    }

    private func result(
        _ outcome: RevocationOutcome, _ findings: AdministrationAPI.RevocationFindings
    ) -> AdministrationAPI.RevocationResult {
        AdministrationAPI.RevocationResult(
            outcome.revocations.map { AdministrationAPI.Revocation($0, isDurable: outcome.isDurable) }, findings)
    }

    package func previewLifting(
        _ order: AdministrationAPI.RevocationOrder
    ) async throws(AdministrationFailure) -> AdministrationAPI.BlockLift {
        let target = try Revocation.Target(order)
        guard let block = revocations.block(of: target) else {
            throw AdministrationFailure(BlockLiftRefusal.notBlocked(target))
        }
        return lift(target, block)
    }

    package func lift(
        _ order: AdministrationAPI.RevocationOrder, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> AdministrationAPI.BlockLift {
        let target = try Revocation.Target(order)
        let request: RevocationRequest
        do {
            request = try RevocationRequest(target, reason: order.reason?.string)
        } catch {
            throw .invalid(error.description)
        }
        do {
            let lifted = try await revocations.lift(request, by: context.caller, trace: context.trace)
            return lift(target, lifted.block, lifted.sequences)
        } catch {
            throw AdministrationFailure(error)
        }
    }

    private func lift(
        _ target: Revocation.Target, _ block: Revocation.Block, _ sequences: [UInt64] = []
    ) -> AdministrationAPI.BlockLift {
        AdministrationAPI.BlockLift(
            kind: target.kind, value: target.value,
            block: block, revocations: sequences,
            warnings: RevocationNotes.others(keepingOut: target) { revocations.block(of: $0) != nil })
    }

    private var notes: RevocationNotes { RevocationNotes(configuration()) }

    /// Sessions that are left over, the latest first. A cancelled task's are not all.
    private func sessions(
        _ condition: SessionCondition, atMost count: Int, where isMeant: (SessionRecord) -> Bool
    ) async throws(AdministrationFailure) -> [SessionRecord] {
        let now = clock.now
        var (sessions, position) = ([SessionRecord](), Int64?.none)
        repeat {
            let part: SessionPart
            do {
                part = try await search.sessions(condition, at: now, before: position, limit: Self.step)
            } catch {
                throw .unavailable("\(error)")
            }
            sessions += part.sessions.filter(isMeant)
            position = part.next
        } while position != nil && sessions.count < count
        return Array(sessions.prefix(count))
    }

    /// The same as `hasEnded`, or nil where it takes too long: the answer is not to wait for what only a warning needs.
    private func hasEndedInTime(_ target: Revocation.Target, _ before: RevocationSet) async -> Bool? {
        await withTaskGroup(of: Bool?.self) { group in
            group.addTask { await hasEnded(target, before) }
            group.addTask {
                try? await Task.sleep(for: searchTime)
                return nil
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first
        }
    }

    /// Whether a revocation of the target ended a session that had been live; nil where that is not known.
    private func hasEnded(_ target: Revocation.Target, _ before: RevocationSet) async -> Bool? {
        guard ![.token, .key, .all].contains(target.kind) else { return nil }
        let after = RevocationSet(asIfRevoking: target, at: clock.now)
        var conditions = [SessionCondition(of: target)]
        // Most often it is no actor, and its own sessions are found sooner.
        if case .subject(let subject) = target { conditions.insert(SessionCondition(subject: subject), at: 0) }
        for condition in conditions {
            let found = try? await sessions(condition, atMost: 1) {
                before.kills($0) == nil && after.kills($0) != nil
            }
            guard let found else { return nil }
            if !found.isEmpty { return true }
        }
        return false
    }

    /// Whether a session of that id is kept; true for what is no session.
    private func isRecorded(_ target: Revocation.Target) async throws(AdministrationFailure) -> Bool {
        guard case .session(let id) = target else { return true }
        do {
            return try await search.session(id) != nil
        } catch {
            throw .unavailable("\(error)")
        }
    }

    private static func request(
        _ target: Revocation.Target, _ reason: String?, _ block: Revocation.Block?
    ) throws(RevocationRefusal) -> RevocationRequest {
        do {
            return try RevocationRequest(
                target, reason: reason, block: block)
        } catch {
            throw .unacceptable(error)
        }
    }
}

extension SessionCondition {
    /// Of all that the revocation of a target can end, and more.
    fileprivate init(of target: Revocation.Target) {
        switch target {
        case .session(let id): self.init(ancestor: id)
        case .rule(let name): self.init(rule: name)
        // Whoever acts for others counts too.
        default: self.init()
        }
    }
}

extension ClaimCondition {
    init(_ name: ExactString, _ value: ExactString) throws(AdministrationFailure) {
        guard let condition = ClaimCondition(name.string, is: value) else {
            throw .invalid("\(name) is no claim's name, or the value is too long")
        }
        self = condition
    }
}

extension Revocation.Target {
    fileprivate init(_ order: AdministrationAPI.RevocationOrder) throws(AdministrationFailure) {
        var value: ExactString?
        if case .value(let text) = order.what { value = text }
        guard let target = Self(order.kind, value) else {
            throw .invalid("\(order.kind.rawValue) \(value ?? "") is nothing that can be revoked")
        }
        self = target
    }
}

extension RevocationSet {
    /// With nothing but this, above every number that a session can carry.
    fileprivate init(asIfRevoking target: Revocation.Target, at now: Date) {
        self.init([
            Revocation(
                sequence: Revocation.maximumSequence + 1, target: target, reason: nil, block: nil, created: now,
                caller: .daemon, expires: now)
        ])
    }
}

extension AdministrationFailure {
    fileprivate init(_ refusal: RevocationRefusal) {
        switch refusal {
        case .tooManySessions, .unacceptable: self = .invalid("\(refusal)")
        case .full, .store: self = .unavailable("\(refusal)")
        }
    }

    fileprivate init(_ refusal: BlockLiftRefusal) {
        switch refusal {
        case .notBlocked: self = .notFound("\(refusal)")
        case .notDurable, .store: self = .unavailable("\(refusal)")
        }
    }
}
