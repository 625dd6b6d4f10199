import JOSE
import Synchronization

/// The rules of a broker that serves, and what it recorded.
package final class LiveRules: RuleInspector {
    private let configuration: @Sendable () -> BrokerConfiguration
    private let history: any ExchangeHistory
    private let reader: any RuleDocumentReader
    private let clock: any BrokerClock
    private let revocations: @Sendable () -> RevocationSet
    private let aside: @Sendable (@escaping @Sendable () -> Void) -> Void
    /// In steps of a `MatchingBudget`.
    private let budget: Int
    /// How much of each is under way.
    private let busy = Mutex<[Work: Int]>([:])

    private enum Work {
        case reading, replay, test

        /// At once. What is more is refused, and does not wait.
        var maximum: Int {
            switch self {
            case .reading, .replay: 1
            case .test: 8
            }
        }
    }

    /// How long a part of a replay takes, at most: about as long, and never as long as an answer may.
    private static let partTime: Duration = .seconds(2)
    /// In bytes of JSON, of a page.
    private static let maximumPageLength = 4 << 20

    /// - Parameters:
    ///   - configuration: that whose rules are in force at the moment.
    ///   - revocations: those in force at the moment, whose blocks are warned of.
    ///   - aside: runs what it is given, one after another, where it may take its time.
    ///   - budget: what a test, or one exchange of a replay, may take, in steps of a `MatchingBudget`.
    package init(
        _ configuration: @escaping @Sendable () -> BrokerConfiguration, history: any ExchangeHistory,
        reader: any RuleDocumentReader, clock: any BrokerClock,
        revocations: @escaping @Sendable () -> RevocationSet = { .none },
        aside: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void = { $0() },
        budget: Int = MatchingBudget.standard
    ) {
        self.aside = aside
        self.budget = budget
        self.configuration = configuration
        self.history = history
        self.reader = reader
        self.clock = clock
        self.revocations = revocations
    }

    package func rules(
        _ page: AdministrationAPI.PageRequest
    ) async throws(AdministrationFailure) -> AdministrationAPI.Page<AdministrationAPI.Rule> {
        let rules = configuration().rules.rules
        return try Self.page(of: rules, page) { rule in
            let rule = AdministrationAPI.Rule(rule)
            return (rule, rule.json)
        }
    }

    package func openings(
        of scope: Scope, _ page: AdministrationAPI.PageRequest
    ) async throws(AdministrationFailure) -> AdministrationAPI.Page<AdministrationAPI.RuleOpening> {
        let configuration = configuration()
        let openings = RuleOpenings(configuration)
        return try Self.page(of: configuration.rules.rules, page) { rule in
            openings.opening(of: scope, by: rule).map { ($0, $0.json) }
        }
    }

    /// A page of those rules of which `body` makes something. The cursor is how many rules were looked at before.
    private static func page<Element>(
        of rules: [Rule], _ page: AdministrationAPI.PageRequest, _ body: (Rule) -> (Element, JSONObject)?
    ) throws(AdministrationFailure) -> AdministrationAPI.Page<Element> {
        let first: Int = try page.number() ?? 0
        guard first >= 0 else { throw .invalid("the cursor is none of ours") }
        var (elements, length): ([Element], Int) = ([], 0)
        for index in rules.indices.dropFirst(first) {
            guard elements.count < page.limit, length < maximumPageLength else {
                return AdministrationAPI.Page(elements, next: ExactString(String(index)))
            }
            guard let (element, json) = body(rules[index]) else { continue }
            elements.append(element)
            length += json.encoded().count
        }
        return AdministrationAPI.Page(elements)
    }

    package func test(
        _ order: AdministrationAPI.RuleTest
    ) async throws(AdministrationFailure) -> AdministrationAPI.RuleTestResult {
        let configuration = configuration()
        let made = try MadeUpSubject(order, configuration)
        var warnings = made.warnings
        var rules = configuration.rules
        if let documents = order.documents {
            let read = try await read(documents, under: configuration)
            rules = read.rules
            warnings += read.warnings
        }
        var question = RuleQuestion(issuer: made.issuer, claims: KnownClaims(all: made.claims))
        question.named = order.rule
        question.scope = order.scope
        question.federation = order.federation
        let (answer, attempts) = try await asked(question, of: rules)
        if let name = order.rule, rules.rule(name)?.issuer != made.issuer {
            warnings.append("no rule for \(made.issuer) is named \(name)")
        }
        var terms: GrantTerms?
        if case .granted(let grant) = answer {
            terms = rules.rule(grant.rule)?.terms
            if let words = block(of: made.identity, by: grant.rule) { warnings.append(words) }
        }
        let listed = attempts.prefix(AdministrationAPI.RuleTestResult.maximumRules)
        return AdministrationAPI.RuleTestResult(
            subject: made.identity, answer: answer, terms: terms, attempts: Array(listed),
            omittedRules: attempts.count - listed.count, warnings: warnings)
    }

    /// One after another: with rules of somebody's own it can take a while.
    private func asked(
        _ question: RuleQuestion, of rules: RuleSet
    ) async throws(AdministrationFailure) -> (RuleAnswer, [RuleAttempt]) {
        try begin(.test, "too many rules are being tried: try again")
        defer { end(.test) }
        let cancellation = MatchingCancellation()
        let result: Result<(RuleAnswer, [RuleAttempt]), MatchingFailure> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                aside { [budget] in
                    var budget = MatchingBudget(budget, cancellation: cancellation)
                    do throws(MatchingFailure) {
                        let answer = try rules.answer(to: question, within: &budget)
                        let attempts = try rules.attempts(question, within: &budget)
                        continuation.resume(returning: .success((answer, attempts)))
                    } catch {
                        continuation.resume(returning: .failure(error))
                    }
                }
            }
        } onCancel: {
            cancellation.cancel()
        }
        switch result {
        case .success(let found): return found
        case .failure(let failure): throw AdministrationFailure(failure)
        }
    }

    package func replay(
        _ order: AdministrationAPI.RuleReplayOrder
    ) async throws(AdministrationFailure) -> AdministrationAPI.RuleReplayPart {
        try begin(.replay, "another replay is under way: one at a time")
        defer { end(.replay) }
        let configuration = configuration()
        let next = try await read(order.documents, under: configuration)
        let part = HistoryPart(since: order.since, until: order.until, position: order.position)
        let replay = RuleReplay(next.rules, inForce: configuration.rules)
        let cancellation = MatchingCancellation()
        let result = await withTaskCancellationHandler {
            await examined(part, by: replay, cancellation)
        } onCancel: {
            cancellation.cancel()
        }
        let done: Progress
        switch result {
        case .success(let progress): done = progress
        case .failure(let failure): throw .unavailable("\(failure)")
        }
        if let failure = done.failure { throw AdministrationFailure(failure) }
        let groups = done.replay.all
        return AdministrationAPI.RuleReplayPart(
            counts: done.replay.counts, groups: groups, next: done.next, warnings: next.warnings + blocks(of: groups))
    }

    /// Examines the records of a part.
    private func examined(
        _ part: HistoryPart, by replay: RuleReplay, _ cancellation: MatchingCancellation
    ) async -> Result<Progress, StoreFailure> {
        let (clock, deadline) = (clock, clock.uptime + Self.partTime)
        do throws(StoreFailure) {
            let done = try await history.exchanges(part, into: Progress(replay: replay, budget: budget)) {
                progress, event in
                progress.examine(event, cancellation) && clock.uptime < deadline
            }
            var progress = done.state
            progress.next = done.next
            return .success(progress)
        } catch {
            return .failure(error)
        }
    }

    /// How far a replay is, and what ends it.
    private struct Progress: Sendable {
        var replay: RuleReplay
        let budget: Int
        var next: HistoryPosition?
        var failure: MatchingFailure?

        /// Between two looks at the clock no more is done than for one exchange.
        mutating func examine(_ event: AuditEvent, _ cancellation: MatchingCancellation) -> Bool {
            var budget = MatchingBudget(budget, cancellation: cancellation)
            do throws(MatchingFailure) {
                try replay.examine(event, within: &budget)
                return true
            } catch {
                failure = error
                return false
            }
        }
    }

    /// In words what keeps the subject out, whatever the rules say; nil where nothing does.
    private func block(of subject: ExactString, by rule: ExactString) -> String? {
        let target = revocations().blocks(subject: subject, actor: nil, rule: rule, at: clock.now)
        return target.map { "\($0) is blocked: \(subject) would be refused all the same" }
    }

    /// The same of those who gain, of a bounded number.
    private func blocks(of groups: [RuleReplay.Group]) -> [String] {
        let words = groups.lazy.compactMap { group -> String? in
            guard group.key.change == .gains, let rule = group.key.after else { return nil }
            return self.block(of: group.key.subject, by: rule)
        }
        return Array(words.prefix(Self.maximumBlocks))
    }

    private static let maximumBlocks = 16

    private func read(
        _ documents: [AdministrationAPI.RuleDocument], under configuration: BrokerConfiguration
    ) async throws(AdministrationFailure) -> (rules: RuleSet, warnings: [String]) {
        try begin(.reading, "other rules are being read: try again")
        defer { end(.reading) }
        return try await reader.rules(in: documents, under: configuration)
    }

    private func begin(_ work: Work, _ words: String) throws(AdministrationFailure) {
        let hasRoom = busy.withLock { busy in
            let count = busy[work, default: 0]
            if count < work.maximum { busy[work] = count + 1 }
            return count < work.maximum
        }
        guard hasRoom else { throw .conflict(words) }
    }

    private func end(_ work: Work) {
        busy.withLock { $0[work, default: 1] -= 1 }
    }
}

extension AdministrationFailure {
    fileprivate init(_ failure: MatchingFailure) {
        switch failure {
        case .exhausted: self = .invalid("\(failure)")
        case .cancelled: self = .unavailable("\(failure)")
        }
    }
}
