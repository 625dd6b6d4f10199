import Broker
package import FoundationEssentials
import Synchronization

/// Clocks that move only when a test moves them, together or, for a wall clock that somebody sets, apart.
package final class ManualClock: BrokerClock {
    private let state: Mutex<State>

    private struct State {
        var now: Date
        var uptime: Duration
    }

    /// - Parameter now: by default a whole second, the 15th of January 2027 at 08:00 UTC.
    package init(now: Date = Date(timeIntervalSince1970: 1_800_000_000), uptime: Duration = .seconds(1000)) {
        state = Mutex(State(now: now, uptime: uptime))
    }

    package var now: Date {
        get { state.withLock { $0.now } }
        set { state.withLock { $0.now = newValue } }
    }

    package var uptime: Duration {
        get { state.withLock { $0.uptime } }
        set { state.withLock { $0.uptime = newValue } }
    }

    /// Lets time pass on both clocks.
    package func advance(by duration: Duration) {
        state.withLock {
            $0.now.addTimeInterval(duration.seconds)
            $0.uptime += duration
        }
    }
}
