package import FoundationEssentials
import Synchronization

/// Until when tokens that were minted here are good at the latest. Callable from any thread.
package final class LatestExpiry: Sendable {
    /// In seconds since 1970; 0 before the first.
    private let seconds = Atomic<Int>(0)

    package init() {}

    func note(_ seconds: Int) {
        self.seconds.max(seconds, ordering: .relaxed)
    }

    /// In 1970 before the first token.
    package var date: Date { Date(timeIntervalSince1970: Double(seconds.load(ordering: .relaxed))) }
}
