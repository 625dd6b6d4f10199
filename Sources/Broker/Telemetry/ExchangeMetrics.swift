package import JOSE
import Synchronization

/// What the exchange path counts and times. Callable from any thread; nothing here waits or suspends.
package final class ExchangeMetrics: MetricSource {
    /// Of one exchange or renewal, in this order.
    package enum Step: Int, MetricLabel {
        case authenticate, match, mint, record
    }

    package enum Outcome: Int, MetricLabel {
        case granted, refused, unavailable
    }

    /// What became of the session of a token that was granted.
    package enum SessionEvent: Int, MetricLabel {
        /// A first presentation of a proof.
        case opened
        /// A further presentation of the same proof.
        case joined
        /// A gateway token, for another of the same session.
        case renewed
        /// A gateway token, for one of a new session below.
        case narrowed
    }

    /// Counts where nobody looks.
    package static let disabled = ExchangeMetrics(issuers: [], rules: [])

    private let rows: Mutex<Rows>
    private let granted: CounterTable<Unlabelled>
    private let refused: CounterTable<RefusalReason>
    private let sessions = Counter<SessionEvent>(
        "daypass_sessions_total", by: "event", "What became of the sessions of granted tokens.")
    private let steps = Histogram<Step>(
        seconds: "daypass_exchange_step_duration_seconds", by: "step",
        "Time of the steps of an exchange; record includes the wait for the commit.")
    private let exchanges = Histogram<Outcome>(
        seconds: "daypass_exchange_duration_seconds", by: "outcome", "Time of whole exchanges.")

    package init(issuers: [IssuerName], rules: [Rule]) {
        var rows = Rows()
        let values = rows.configure(issuers, rules)
        self.rows = Mutex(rows)
        let labels = ["issuer", "rule"]
        granted = CounterTable(
            "daypass_exchanges_granted_total", rowLabels: labels, rows: values.map(\.labels),
            listed: values.firstIndex(where: \.isRule).map { $0..<values.count } ?? 0..<0,
            "Gateway tokens that were recorded and handed out.")
        refused = CounterTable(
            "daypass_exchanges_refused_total", rowLabels: labels, rows: values.map(\.labels), column: "reason",
            "Exchanges without a token. The issuer is empty where nothing proved it.")
    }

    /// Counts by these issuers and rules from now on. Series that are there go on, also those of what is gone: no counter
    /// goes back, and requests that began before may still count there.
    package func configure(issuers: [IssuerName], rules: [Rule]) {
        rows.withLock { rows in
            for row in rows.configure(issuers, rules) {
                granted.append(row: row.labels, listed: row.isRule)
                refused.append(row: row.labels)
            }
        }
    }

    /// A token was recorded and goes out.
    package func granted(issuer: IssuerName, rule: ExactString, session: SessionEvent) {
        granted.count(row: row(issuer, rule))
        sessions.count(session)
    }

    /// There is no token.
    /// - Parameters:
    ///   - issuer: nil before a signature was found good.
    ///   - rule: nil before one matched.
    package func refused(issuer: IssuerName? = nil, rule: ExactString? = nil, reason: RefusalReason) {
        refused.count(row: row(issuer, rule), reason)
    }

    private func row(_ issuer: IssuerName?, _ rule: ExactString?) -> Int {
        rows.withLock { $0.row(issuer, rule) }
    }

    package func step(_ step: Step, took time: Duration) {
        steps.observe(time, step)
    }

    package func exchange(_ outcome: Outcome, took time: Duration) {
        exchanges.observe(time, outcome)
    }

    package func write(to text: inout MetricText) {
        granted.write(to: &text)
        refused.write(to: &text)
        sessions.write(to: &text)
        steps.write(to: &text)
        exchanges.write(to: &text)
    }
}

extension ExchangeMetrics {
    /// A row for nobody, one for each issuer and one for each rule; what is not configured counts for the next wider one.
    /// Rows keep their numbers for good.
    private struct Rows: Sendable {
        typealias Added = (labels: [String], isRule: Bool)

        private struct Key: Hashable {
            let issuer: IssuerName
            let rule: ExactString?
        }

        private var numbers: [Key: Int] = [:]
        private var count = 0
        private var ofIssuer: [IssuerName: Int] = [:]
        private var ofRule: [ExactString: (issuer: IssuerName, row: Int)] = [:]

        /// - Returns: the rows that are new, in their order; rules last.
        mutating func configure(_ issuers: [IssuerName], _ rules: [Rule]) -> [Added] {
            var added: [Added] = []
            if count == 0 {
                added.append((["", ""], false))
                count = 1
            }
            ofIssuer = [:]
            ofRule = [:]
            for issuer in issuers where ofIssuer[issuer] == nil {
                ofIssuer[issuer] = number(of: Key(issuer: issuer, rule: nil), &added)
            }
            for rule in rules where ofRule[rule.name] == nil {
                ofRule[rule.name] = (rule.issuer, number(of: Key(issuer: rule.issuer, rule: rule.name), &added))
            }
            return added
        }

        private mutating func number(of key: Key, _ added: inout [Added]) -> Int {
            if let number = numbers[key] { return number }
            added.append(([key.issuer.text.string, key.rule?.string ?? ""], key.rule != nil))
            numbers[key] = count
            count += 1
            return count - 1
        }

        func row(_ issuer: IssuerName?, _ rule: ExactString?) -> Int {
            guard let issuer else { return 0 }
            // A session may be of a rule that is another issuer's by now.
            if let rule, let found = ofRule[rule], found.issuer == issuer { return found.row }
            return ofIssuer[issuer] ?? 0
        }
    }
}
