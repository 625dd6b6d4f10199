package import FoundationEssentials

/// Time as the broker sees it; tests give their own.
package protocol BrokerClock: Sendable {
    /// The wall clock: what tokens and records carry.
    var now: Date { get }
    /// A clock that never goes back, from an arbitrary start: what intervals are measured with.
    var uptime: Duration { get }
}

/// The clocks of the machine.
package struct SystemClock: BrokerClock {
    private let start = ContinuousClock.now

    package init() {}

    package var now: Date { Date() }
    package var uptime: Duration { start.duration(to: .now) }
}

extension Duration {
    /// In seconds, fractions included.
    package var seconds: Double {
        Double(components.seconds) + Double(components.attoseconds) / 1e18
    }
}
