import Broker
import Logging
import Synchronization

/// What limits per address refused: all of it counted, and a line a second in the log, which names an address to look for.
final class LimitRefusals: Sendable {
    private let metrics: RequestMetrics
    private let clock: any BrokerClock
    private let logger: Logger
    private let state = Mutex(State())

    private struct State {
        var second = Int64.min
        var omitted = 0
    }

    init(metrics: RequestMetrics, clock: any BrokerClock, logger: Logger) {
        self.metrics = metrics
        self.clock = clock
        self.logger = logger
    }

    func note(_ limit: RequestMetrics.Limit, _ client: ClientAddress) {
        metrics.refused(by: limit)
        let second = clock.uptime.components.seconds
        let omitted = state.withLock { state -> Int? in
            guard state.second != second else {
                state.omitted += 1
                return nil
            }
            defer { state = State(second: second) }
            return state.omitted
        }
        guard let omitted else { return }
        logger.notice(
            "refused by a limit",
            metadata: ["limit": "\(limit.text)", "client": "\(client)", "omitted": "\(omitted)"])
    }
}
