import Broker
import Logging

/// What limits refused: all of it counted, and a line a second in the log, which names an address to look for.
final class LimitRefusals: Sendable {
    private let metrics: RequestMetrics
    private let clock: any BrokerClock
    private let logger: Logger
    private let lines = LineLimit(perSecond: 1)

    init(metrics: RequestMetrics, clock: any BrokerClock, logger: Logger) {
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
}
