package import FoundationEssentials
package import JOSE

/// Recorded exchanges against other rules: who gains, who loses, whose grant changes, and of whom it cannot be told.
/// What they have in common makes a group, and groups are bounded.
package struct RuleReplay: Sendable {
    package enum Change: String, Sendable, Hashable, CaseIterable {
        /// Refused then, granted by the other rules.
        case gains
        /// Granted then, refused by the other rules.
        case loses
        /// Granted by both, and not the same.
        case changes
        /// Depends on a claim that was not kept, or only as a digest.
        case unknown
    }

    /// What the exchanges of a group have in common.
    package struct Key: Sendable, Hashable {
        package let change: Change
        package let subject: ExactString
        /// The rule that granted then; nil where none did.
        package let before: ExactString?
        /// The rule that grants now; of `unknown` the one of which it cannot be told.
        package let after: ExactString?
        /// Of a change: `rule`, `scope`, `audience`, `ttl`, `max_session`, `models`, `bind`.
        package let differs: [String]
        /// Terms of the grant then that nobody knows any more: the record has not all, and the rule is gone.
        package let unknownTerms: [String]
        package let gainedScope: [Scope]
        package let lostScope: [Scope]
        /// Why it is, or was, refused.
        package let reason: RuleAnswer.Refusal?
        /// Those that would have to be known.
        package let claims: [ExactString]
        /// Whether the rules in force do the same already.
        package fileprivate(set) var isInForce: Bool
    }

    package struct Group: Sendable {
        package let key: Key
        package fileprivate(set) var count: Int
        package fileprivate(set) var last: Date
        /// Of the last exchange.
        package fileprivate(set) var trace: TraceID
    }

    package struct Counts: Sendable, Hashable {
        package fileprivate(set) var examined = 0
        /// Granted the same, or refused as before.
        package fileprivate(set) var unchanged = 0
        /// Not decided by rules.
        package fileprivate(set) var otherwise = 0
        package fileprivate(set) var byChange: [Change: Int] = [:]
        /// In no group, since there are too many.
        package fileprivate(set) var ungrouped = 0

        package init() {}
    }

    /// How many groups there are, and in bytes what subjects, rules, scopes and claims in them have together.
    package struct Bounds: Sendable {
        package var groups = 2000
        package var text = 1 << 20

        package init() {}
    }

    package private(set) var counts = Counts()
    private var groups: [Key: Group] = [:]
    private var room: Bounds
    private let next: RuleSet
    private let inForce: RuleSet

    /// - Parameters:
    ///   - next: the rules that are tried.
    ///   - inForce: those that the broker decides by.
    package init(_ next: RuleSet, inForce: RuleSet, bounds: Bounds = Bounds()) {
        self.next = next
        self.inForce = inForce
        room = bounds
    }

    /// The groups, those of most exchanges first.
    package var all: [Group] {
        groups.values.sorted {
            ($1.count, $0.key.subject, $0.trace.description) < ($0.count, $1.key.subject, $1.trace.description)
        }
    }

    package mutating func examine(
        _ event: AuditEvent, within budget: inout MatchingBudget
    ) throws(MatchingFailure) {
        counts.examined += 1
        guard let exchange = RecordedExchange(event) else {
            counts.otherwise += 1
            return
        }
        let answer = try next.answer(to: exchange.question, within: &budget)
        guard var key = key(of: exchange, answer) else {
            counts.unchanged += 1
            return
        }
        let current = try inForce.answer(to: exchange.question, within: &budget)
        key.isInForce = current == answer && isInForce(key)
        counts.byChange[key.change, default: 0] += 1
        if var group = groups[key] {
            group.count += 1
            if exchange.time >= group.last { (group.last, group.trace) = (exchange.time, exchange.trace) }
            groups[key] = group
        } else if room.groups > 0, room.text >= key.textLength {
            room.groups -= 1
            room.text -= key.textLength
            groups[key] = Group(key: key, count: 1, last: exchange.time, trace: exchange.trace)
        } else {
            counts.ungrouped += 1
        }
    }

    /// Whether the rules in force, which give the same answer, give the same tokens as well.
    private func isInForce(_ key: Key) -> Bool {
        guard key.change == .gains || key.change == .changes, let rule = key.after else { return true }
        guard let old = inForce.rule(rule)?.terms, let new = next.rule(rule)?.terms else { return false }
        return old.timeToLive == new.timeToLive && Self.terms(from: old, to: new).isEmpty
    }

    /// Nil where nothing changes.
    private func key(of exchange: RecordedExchange, _ answer: RuleAnswer) -> Key? {
        let subject = exchange.subject
        switch (exchange.answer, answer) {
        case (.refused, .refused), (.unknown, _): return nil
        case (.granted(let before), .unknown(let rule, let claims)):
            return Key(.unknown, subject, before: before.rule, after: rule, claims: claims)
        case (.refused(let reason), .unknown(let rule, let claims)):
            return Key(.unknown, subject, after: rule, reason: reason, claims: claims)
        case (.refused(let reason), .granted(let after)):
            return Key(
                .gains, subject, after: after.rule, gained: after.scope, reason: reason)
        case (.granted(let before), .refused(let reason)):
            return Key(
                .loses, subject, before: before.rule, lost: before.scope, reason: reason)
        case (.granted(let before), .granted(let after)):
            let gained = after.scope.filter { !before.scope.contains($0) }
            let lost = before.scope.filter { !after.scope.contains($0) }
            var differs: [String] = []
            if before.rule != after.rule { differs.append("rule") }
            if !gained.isEmpty || !lost.isEmpty { differs.append("scope") }
            if before.audience != after.audience { differs.append("audience") }
            var unknown: [String] = []
            if let new = next.rule(after.rule)?.terms {
                let old = inForce.rule(before.rule)?.terms
                switch Self.isSameLifetime(exchange, old, new) {
                case false?: differs.append("ttl")
                case nil: unknown.append("ttl")
                case true?: break
                }
                if let old { differs += Self.terms(from: old, to: new) } else { unknown += Self.unrecorded }
            }
            guard !differs.isEmpty || !unknown.isEmpty else { return nil }
            return Key(
                .changes, subject, before: before.rule, after: after.rule, differs: differs, unknown: unknown,
                gained: gained, lost: lost)
        }
    }

    /// What no record says of a grant.
    private static let unrecorded = ["max_session", "models", "bind"]

    /// How `old`, the terms in force of the rule that granted then, and the new ones differ in what no record says.
    private static func terms(from old: GrantTerms, to new: GrantTerms) -> [String] {
        let same = [
            old.maximumSession == new.maximumSession, old.models == new.models,
            old.bindsCertificate == new.bindsCertificate,
        ]
        return zip(unrecorded, same).filter { !$0.1 }.map(\.0)
    }

    /// Whether a token would live as long as the one of then; nil where it cannot be told.
    /// - Parameter old: the terms in force of the rule that granted then; nil where it is gone.
    private static func isSameLifetime(_ exchange: RecordedExchange, _ old: GrantTerms?, _ new: GrantTerms) -> Bool? {
        guard let lifetime = exchange.lifetime else { return old.map { $0.timeToLive == new.timeToLive } }
        if lifetime >= new.timeToLive { return lifetime == new.timeToLive }
        guard let age = exchange.sessionAge else { return nil }
        // A session lasts at least as long as its first token.
        guard age > .zero else { return false }
        // A further one ends with its session at the latest; what else made it shorter nobody knows.
        guard let old, age + lifetime == old.maximumSession else { return nil }
        return old.timeToLive == new.timeToLive
    }
}

extension RuleReplay.Key {
    fileprivate init(
        _ change: RuleReplay.Change, _ subject: ExactString, before: ExactString? = nil, after: ExactString? = nil,
        differs: [String] = [], unknown: [String] = [], gained: [Scope] = [], lost: [Scope] = [],
        reason: RuleAnswer.Refusal? = nil,
        claims: [ExactString] = []
    ) {
        self.init(
            change: change, subject: subject, before: before, after: after, differs: differs, unknownTerms: unknown,
            gainedScope: gained, lostScope: lost, reason: reason, claims: claims, isInForce: false)
    }

    fileprivate var textLength: Int {
        let names = [subject, before, after].compactMap(\.self) + claims + (gainedScope + lostScope).map(\.text)
        return names.reduce(0) { $0 + $1.utf8.count }
    }
}
