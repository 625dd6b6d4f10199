/// Times one exchange and its steps.
package struct ExchangeTimer: Sendable {
    private let metrics: ExchangeMetrics
    private let clock: any BrokerClock
    private let start: Duration
    private var stepStart: Duration

    /// Begins now, with the first step.
    package init(_ metrics: ExchangeMetrics, _ clock: any BrokerClock) {
        self.metrics = metrics
        self.clock = clock
        start = clock.uptime
        stepStart = start
    }

    /// The step that ends here has lasted since the last one ended.
    package mutating func ended(_ step: ExchangeMetrics.Step) {
        let now = clock.uptime
        metrics.step(step, took: now - stepStart)
        stepStart = now
    }

    package func granted() {
        metrics.exchange(.granted, took: clock.uptime - start)
    }

    package func refused(_ refusal: ExchangeRefusal) {
        let isUnavailable = if case .unavailable = refusal { true } else { false }
        metrics.exchange(isUnavailable ? .unavailable : .refused, took: clock.uptime - start)
    }
}
