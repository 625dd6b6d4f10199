package import Broker
package import Foundation
package import JOSE
import Synchronization

/// Every part of the administration in memory, which remembers what it was asked for.
package final class FakeAdministration: KeyAdministration, RevocationAdministration, SessionReader, RuleReloading,
    RuleInspector, AuditTrail, DecisionReader, AuditChainAdministration
{
    package typealias API = AdministrationAPI

    package struct Calls: Sendable {
        /// A line for each mutation, with who asked.
        package var lines: [String] = []
        package var filters: [API.SessionFilter] = []
        package var orders: [API.RevocationOrder] = []
        package var contexts: [AdministrativeContext] = []
        package var tests: [API.RuleTest] = []
        package var replays: [API.RuleReplayOrder] = []
        package var conditions: [AuditCondition] = []
    }

    package let credentials = FakeCredentials()

    package static let start = Date(timeIntervalSince1970: 1_800_000_000)

    struct State: Sendable {
        var calls = Calls()
        var sessions: [API.Session] = []
        var revocations: [API.Revocation] = []
        var findings = API.RevocationFindings()
        var records: [AuditRecord] = []
        var decisions: [TraceID: API.Decision] = [:]
        var failure: AdministrationFailure?
        var test: API.RuleTestResult?
        var parts: [API.RuleReplayPart] = []
        /// How many more replays are told to wait.
        var waits = 0
        /// After how many further questions a revocation is durable; nil for at once.
        var pendingReads: Int?
        /// After how many further questions all who follow the feed were told; nil where nobody does.
        var readsBehind: Int?
        var reports: [AuditReport] = []
        var marks: [AuditMark] = []
        var checkpoints: [Checkpoint] = []
        var interruptions = 0
    }

    let state = Mutex(State())

    package init(sessions: [SessionRecord] = []) {
        state.withLock { $0.sessions = sessions.map { API.Session($0, isRevoked: false) } }
    }

    package var administration: Administration { administration(issuers: []) }

    package func administration(issuers: [TrustedIssuer]) -> Administration {
        Administration(
            keys: self, revocations: self, sessions: self, issuers: TrustedIssuerReader { issuers }, rules: self,
            credentials: credentials, ruleInspector: self, chain: self, trail: self, decisions: self)
    }

    package var calls: Calls { state.withLock { $0.calls } }

    /// What `rules test` and `rules replay` find, one part after another.
    package func find(_ test: API.RuleTestResult? = nil, replaying parts: [API.RuleReplayPart] = []) {
        state.withLock { ($0.test, $0.parts) = (test, parts) }
    }

    /// So many replays are told that another one is under way.
    package func letReplaysWait(_ count: Int) {
        state.withLock { $0.waits = count }
    }

    /// Everything fails with it from now on.
    package func fail(with failure: AdministrationFailure?) {
        state.withLock { $0.failure = failure }
    }

    /// What every order finds from now on.
    package func find(_ findings: API.RevocationFindings) {
        state.withLock { $0.findings = findings }
    }

    /// Revocations are durable only after so many questions about them.
    package func delayRecording(byReads count: Int) {
        state.withLock { $0.pendingReads = count }
    }

    /// Of two who follow the feed one lags behind for so many questions, that by the order included.
    package func delayReaders(byReads count: Int) {
        state.withLock { $0.readsBehind = count }
    }

    func check() throws(AdministrationFailure) {
        if let failure = state.withLock({ $0.failure }) { throw failure }
    }

    private func note(_ line: String, _ context: AdministrativeContext) throws(AdministrationFailure) {
        try check()
        state.withLock {
            $0.calls.lines.append(line)
            $0.calls.contexts.append(context)
        }
    }

    // MARK: Keys

    package func keys() async throws(AdministrationFailure) -> [API.Key] {
        try check()
        return [
            API.Key(
                keyID: "old-key", algorithm: "ES256", state: "retiring", created: Self.start, since: Self.start + 60),
            API.Key(keyID: "active-key", algorithm: "ES256", state: "active", created: Self.start + 60),
            API.Key(keyID: "staged-key", algorithm: "ES256", state: "staged", created: Self.start + 120),
        ]
    }

    package func rotate(
        force: Bool, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> API.KeyChange {
        try note("rotate force=\(force)", context)
        return API.KeyChange(active: "staged-key", staged: "new-key", retiring: "active-key")
    }

    package func activate(
        _ keyID: ExactString, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> API.KeyChange {
        try note("activate \(keyID)", context)
        guard keyID == "staged-key" else { throw .conflict("the key \(keyID) is not staged") }
        return API.KeyChange(active: keyID, staged: "new-key", retiring: "active-key")
    }

    package func revoke(
        _ keyID: ExactString, reason: ExactString?, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> API.RevocationResult {
        try note("revoke key \(keyID)", context)
        return record([keyID], API.RevocationOrder(.key, .value(keyID), reason: reason), context)
    }

    // MARK: Revocations

    package func revocations(
        _ page: API.PageRequest
    ) async throws(AdministrationFailure) -> API.Page<API.Revocation> {
        try check()
        return try Self.page(state.withLock { $0.revocations.reversed() }, page)
    }

    package func revocation(_ sequence: UInt64) async throws(AdministrationFailure) -> API.Revocation? {
        try check()
        return state.withLock { state in
            if let pending = state.pendingReads { state.pendingReads = pending > 1 ? pending - 1 : nil }
            return state.revocations.first { $0.sequence == sequence }
                .map { Self.copy($0, isDurable: state.pendingReads == nil) }
        }
    }

    package func reach(of sequence: UInt64) async -> API.Reach {
        state.withLock { state in
            guard let left = state.readsBehind else { return API.Reach(readers: 0, behind: 0, offlineUntil: nil) }
            state.readsBehind = max(0, left - 1)
            return API.Reach(readers: 2, behind: left > 0 ? 1 : 0, offlineUntil: Self.start.addingTimeInterval(900))
        }
    }

    package func preview(
        _ order: API.RevocationOrder
    ) async throws(AdministrationFailure) -> API.RevocationPreview {
        try check()
        let sessions = named(by: order)
        return API.RevocationPreview(
            sessionCount: sessions.count, sessions: Array(sessions.prefix(100)), state.withLock(\.findings))
    }

    package func revoke(
        _ order: API.RevocationOrder, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> API.RevocationResult {
        try note("revoke \(order.kind.rawValue)", context)
        state.withLock { $0.calls.orders.append(order) }
        switch order.what {
        case .value(let value): return record([value], order, context)
        case .everything: return record([nil], order, context)
        case .claim: return record(named(by: order).map(\.record.id), order, context)
        }
    }

    package func previewLifting(_ order: API.RevocationOrder) async throws(AdministrationFailure) -> API.BlockLift {
        try check()
        return try blocked(order)
    }

    package func lift(
        _ order: API.RevocationOrder, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> API.BlockLift {
        try note("lift \(order.kind.rawValue)", context)
        state.withLock { $0.calls.orders.append(order) }
        return try blocked(order)
    }

    private func blocked(_ order: API.RevocationOrder) throws(AdministrationFailure) -> API.BlockLift {
        var value: ExactString?
        if case .value(let text) = order.what { value = text }
        let found = state.withLock(\.revocations).filter {
            $0.kind == order.kind && $0.value == value && $0.block != nil
        }
        guard let block = found.last?.block else {
            throw .notFound("\(order.kind.rawValue) \(value ?? "") is not blocked")
        }
        return API.BlockLift(kind: order.kind, value: value, block: block, revocations: found.map(\.sequence))
    }

    private func named(by order: API.RevocationOrder) -> [API.Session] {
        state.withLock(\.sessions).filter { session in
            switch (order.kind, order.what) {
            case (_, .everything): true
            case (_, .claim(let name, let value)): session.record.claims[name]?.string == value
            case (.session, .value(let id)): session.record.lineage.contains(id)
            case (.subject, .value(let subject)): session.record.subject == subject
            case (.rule, .value(let rule)): session.record.rule == rule
            case (.issuer, .value(let issuer)): session.record.issuer.text == issuer
            default: false
            }
        }
    }

    private func record(
        _ values: [ExactString?], _ order: API.RevocationOrder, _ context: AdministrativeContext
    ) -> API.RevocationResult {
        state.withLock { state in
            let made = values.enumerated().map { index, value in
                API.Revocation(
                    sequence: UInt64(state.revocations.count + index + 1), kind: order.kind, value: value,
                    reason: order.reason, block: order.block, created: Self.start, caller: context.caller,
                    isDurable: state.pendingReads == nil)
            }
            state.revocations += made
            return API.RevocationResult(made, state.findings)
        }
    }

    private static func copy(_ revocation: API.Revocation, isDurable: Bool) -> API.Revocation {
        API.Revocation(
            sequence: revocation.sequence, kind: revocation.kind, value: revocation.value, reason: revocation.reason,
            block: revocation.block, created: revocation.created, caller: revocation.caller, isDurable: isDurable)
    }

    // MARK: Sessions

    package func sessions(
        _ filter: API.SessionFilter, _ page: API.PageRequest
    ) async throws(AdministrationFailure) -> API.Page<API.Session> {
        try check()
        let sessions = state.withLock { state in
            state.calls.filters.append(filter)
            return state.sessions.filter { filter.subject.map($0.record.subject.isEqual) ?? true }
        }
        return try Self.page(sessions, page)
    }

    package func session(_ id: ExactString) async throws(AdministrationFailure) -> API.Session? {
        try check()
        return state.withLock { $0.sessions.first { $0.record.id == id } }
    }

    static func page<Element>(
        _ elements: [Element], _ page: API.PageRequest
    ) throws(AdministrationFailure) -> API.Page<Element> {
        guard let first = Int(page.cursor?.string ?? "0"), (0...elements.count).contains(first) else {
            throw .invalid("the cursor is none of ours")
        }
        let end = min(first + page.limit, elements.count)
        return API.Page(Array(elements[first..<end]), next: end < elements.count ? ExactString(String(end)) : nil)
    }

    // MARK: Rules

    package func reload(
        isRehearsal: Bool, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> API.ConfigurationDifference {
        try isRehearsal ? check() : note("reload", context)
        return API.ConfigurationDifference(
            rules: .init(added: ["ci-docs"], removed: ["ci-old"], changed: ["ci-main"]), warnings: ["store changed"],
            revocations: [.init(.rule, "ci-old"), .init(.rule, "ci-main")])
    }

    package func rules(_ page: API.PageRequest) async throws(AdministrationFailure) -> API.Page<API.Rule> {
        try check()
        return try Self.page([], page)
    }

    package func openings(
        of scope: Scope, _ page: API.PageRequest
    ) async throws(AdministrationFailure) -> API.Page<API.RuleOpening> {
        try check()
        let openings = ["ci-main", "docs"].map {
            API.RuleOpening(
                rule: $0, issuer: "ci", whom: "subjects of ci whose ref is like refs/\u{1B}[2K*", through: nil,
                isShared: $0 == "docs", isOpen: false, cautions: $0 == "docs" ? ["for \(scope)"] : [])
        }
        return try Self.page(openings, page)
    }

    package func test(_ order: API.RuleTest) async throws(AdministrationFailure) -> API.RuleTestResult {
        try check()
        return state.withLock { state in
            state.calls.tests.append(order)
            return state.test
                ?? API.RuleTestResult(subject: "ci:ada", answer: .refused(.noRule), terms: nil, attempts: [])
        }
    }

    package func replay(_ order: API.RuleReplayOrder) async throws(AdministrationFailure) -> API.RuleReplayPart {
        try check()
        let waits = state.withLock { state in
            defer { state.waits = max(0, state.waits - 1) }
            return state.waits > 0
        }
        guard !waits else { throw .conflict("another replay is under way: one at a time") }
        return state.withLock { state in
            state.calls.replays.append(order)
            guard !state.parts.isEmpty else { return API.RuleReplayPart(counts: RuleReplay.Counts(), groups: []) }
            return state.parts.removeFirst()
        }
    }
}

extension ExactString {
    fileprivate func isEqual(_ other: ExactString) -> Bool { self == other }
}
