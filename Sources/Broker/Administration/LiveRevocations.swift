import FoundationEssentials
import JOSE

/// Revocations as administrators reach them.
package struct LiveRevocations: RevocationAdministration {
    /// So many of the sessions that an order would end are shown.
    private static let shown = 100
    private static let step = 500

    private let revocations: Revocations
    private let search: any SessionSearch
    private let state: @Sendable () -> BrokerState
    private let clock: any BrokerClock

    package init(
        _ revocations: Revocations, search: any SessionSearch, state: @escaping @Sendable () -> BrokerState,
        clock: any BrokerClock
    ) {
        self.revocations = revocations
        self.search = search
        self.state = state
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

    package func preview(
        _ order: AdministrationAPI.RevocationOrder
    ) async throws(AdministrationFailure) -> AdministrationAPI.RevocationPreview {
        let condition: SessionCondition
        var target: Revocation.Target?
        switch order.what {
        case .claim(let name, let value):
            condition = SessionCondition(claim: try ClaimCondition(name, value))
        case .value, .everything:
            let named = try Revocation.Target(order)
            target = named
            switch named {
            // Of a token, and of what a key has signed, the session stays.
            case .token, .key: return AdministrationAPI.RevocationPreview(sessionCount: 0, sessions: [])
            case .session(let id): condition = SessionCondition(ancestor: id)
            case .rule(let name): condition = SessionCondition(rule: name)
            // Whoever acts for others counts too.
            case .subject, .issuer, .all: condition = SessionCondition()
            }
        }
        let (now, inForce) = (clock.now, state().revocations)
        let after = target.map { RevocationSet(asIfRevoking: $0, at: now) }
        var (sessions, position) = ([SessionRecord](), Int64?.none)
        repeat {
            let part: SessionPart
            do {
                part = try await search.sessions(condition, at: now, before: position, limit: Self.step)
            } catch {
                throw .unavailable("\(error)")
            }
            sessions += part.sessions.filter { session in
                inForce.kills(session) == nil && after.map { $0.kills(session) != nil } ?? true
            }
            position = part.next
        } while position != nil && sessions.count <= Revocations.maximumSessions
        return AdministrationAPI.RevocationPreview(
            sessionCount: min(sessions.count, Revocations.maximumSessions + 1),
            sessions: sessions.prefix(Self.shown).map { AdministrationAPI.Session($0, isRevoked: false) })
    }

    package func revoke(
        _ order: AdministrationAPI.RevocationOrder, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> AdministrationAPI.RevocationResult {
        let reason = order.reason?.string
        var (condition, target) = (ClaimCondition?.none, Revocation.Target.all)
        if case .claim(let name, let value) = order.what {
            condition = try ClaimCondition(name, value)
        } else {
            target = try Revocation.Target(order)
        }
        // The ring has to lose it as well.
        if case .key = target { throw .invalid("a signing key is revoked among the keys") }
        let outcome: RevocationOutcome
        do throws(RevocationRefusal) {
            if let condition {
                outcome = try await revocations.revoke(
                    where: condition, reason: reason, by: context.caller, trace: context.trace)
            } else {
                let request = try Self.request(target, reason, order.block)
                outcome = try await revocations.revoke(request, by: context.caller, trace: context.trace)
            }
        } catch {
            throw AdministrationFailure(error)
        }
        return AdministrationAPI.RevocationResult(
            outcome.revocations.map { AdministrationAPI.Revocation($0, isDurable: outcome.isDurable) })
    }

    private static func request(
        _ target: Revocation.Target, _ reason: String?, _ block: AdministrationAPI.RevocationOrder.Block?
    ) throws(RevocationRefusal) -> RevocationRequest {
        do {
            return try RevocationRequest(
                target, reason: reason, block: block.map { Revocation.Block(until: $0.until) })
        } catch {
            throw .unacceptable(error)
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
        guard let kind = Kind(rawValue: order.kind.rawValue), let target = Self(kind, value) else {
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

extension AdministrationAPI.Revocation {
    init(_ revocation: Revocation, isDurable: Bool) {
        let isEndless = revocation.block.map { $0.until == nil } ?? false
        self.init(
            sequence: revocation.sequence, kind: AdministrationAPI.RevocationKind(revocation.target.kind),
            value: revocation.target.value, reason: revocation.reason.map { ExactString($0) },
            block: revocation.block.map { AdministrationAPI.RevocationOrder.Block(until: $0.until) },
            created: revocation.created, caller: revocation.caller.text,
            expires: isEndless ? nil : revocation.expires, isDurable: isDurable)
    }
}

extension AdministrationAPI.RevocationKind {
    fileprivate init(_ kind: Revocation.Target.Kind) {
        self =
            switch kind {
            case .token: .token
            case .session: .session
            case .subject: .subject
            case .rule: .rule
            case .issuer: .issuer
            case .key: .key
            case .all: .all
            }
    }
}

extension AdministrationAPI.PageRequest {
    /// What a cursor that is a number says; nil for the first page.
    func number<Number: FixedWidthInteger>() throws(AdministrationFailure) -> Number? {
        guard let cursor else { return nil }
        guard let number = Number(cursor.string), number > 0, ExactString(String(number)) == cursor else {
            throw .invalid("the cursor is none of ours")
        }
        return number
    }
}

extension AdministrationFailure {
    fileprivate init(_ refusal: RevocationRefusal) {
        switch refusal {
        case .tooManySessions, .unacceptable: self = .invalid("\(refusal)")
        case .full, .store: self = .unavailable("\(refusal)")
        }
    }
}
