package import JOSE

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

    private let rows: Rows
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
        rows = Rows(issuers, rules)
        let labels = ["issuer", "rule"]
        granted = CounterTable(
            "daypass_exchanges_granted_total", rowLabels: labels, rows: rows.values, listed: rows.rules,
            "Gateway tokens that were recorded and handed out.")
        refused = CounterTable(
            "daypass_exchanges_refused_total", rowLabels: labels, rows: rows.values, column: "reason",
            "Exchanges without a token. The issuer is empty where nothing proved it.")
    }

    /// A token was recorded and goes out.
    package func granted(issuer: IssuerName, rule: ExactString, session: SessionEvent) {
        granted.count(row: rows.row(issuer, rule))
        sessions.count(session)
    }

    /// There is no token.
    /// - Parameters:
    ///   - issuer: nil before a signature was found good.
    ///   - rule: nil before one matched.
    package func refused(issuer: IssuerName? = nil, rule: ExactString? = nil, reason: RefusalReason) {
        refused.count(row: rows.row(issuer, rule), reason)
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
    private struct Rows: Sendable {
        let values: [[String]]
        let rules: Range<Int>
        private let ofIssuer: [IssuerName: Int]
        private let ofRule: [ExactString: (issuer: IssuerName, row: Int)]

        init(_ issuers: [IssuerName], _ rules: [Rule]) {
            let first = 1 + issuers.count
            values =
                [["", ""]] + issuers.map { [$0.text.string, ""] }
                + rules.map { [$0.issuer.text.string, $0.name.string] }
            self.rules = first..<first + rules.count
            ofIssuer = Dictionary(issuers.enumerated().map { ($1, 1 + $0) }) { first, _ in first }
            ofRule = Dictionary(rules.enumerated().map { ($1.name, ($1.issuer, first + $0)) }) { first, _ in first }
        }

        func row(_ issuer: IssuerName?, _ rule: ExactString?) -> Int {
            guard let issuer else { return 0 }
            // A session may be of a rule that is another issuer's by now.
            if let rule, let found = ofRule[rule], found.issuer == issuer { return found.row }
            return ofIssuer[issuer] ?? 0
        }
    }
}
