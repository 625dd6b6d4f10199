import Broker
import HTTPTypes
import Logging

/// What limits refused: all of it counted, and a line a second in the log, which names an address to look for.
final class LimitRefusals: Sendable {
    private let metrics: RequestMetrics
    private let clock: any BrokerClock
    private let logger: Logger
    private let recent: RecentRefusals?
    private let lines = LineLimit(perSecond: 1)
    /// What is kept of exchanges: more would only drive each other out, and take time.
    private let kept = LineLimit(perSecond: 100)

    /// - Parameter recent: where exchanges that were refused are kept; nil keeps none.
    init(metrics: RequestMetrics, clock: any BrokerClock, logger: Logger, recent: RecentRefusals? = nil) {
        self.recent = recent
        self.metrics = metrics
        self.clock = clock
        self.logger = logger
    }

    func note(_ limit: RequestMetrics.Limit, _ client: ClientAddress) {
        metrics.refused(by: limit)
        guard let omitted = lines.admit(at: clock.uptime) else { return }
        logger.notice(
            "refused by a limit",
            metadata: ["limit": "\(limit.text)", "client": "\(client)", "omitted": "\(omitted)"])
    }

    /// The same of an exchange, or of a revocation by a token's holder, which its trace id is to explain.
    func note(_ limit: RequestMetrics.Limit, _ client: ClientAddress, _ trace: TraceID, _ error: OAuthError) {
        note(limit, client)
        guard let recent, kept.admit(at: clock.uptime) != nil else { return }
        recent.note(
            RecentRefusal(
                trace: trace, time: clock.now, place: .exchange, client: client.text, reason: limit.text,
                words:
                    "\(error.status.code): \(error.description); nothing is wrong with the request, it was not looked at"
            ))
    }
}
