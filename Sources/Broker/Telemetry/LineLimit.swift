import Synchronization

/// How many lines of one kind the log gets: so many in a second; the others are counted, and the count goes out with the
/// next line of the kind. Callable from any thread.
package final class LineLimit: Sendable {
    private let linesPerSecond: Int
    private let state = Mutex(State())

    private struct State {
        var second = Int64.min
        var lines = 0
        var omitted = 0
    }

    package init(perSecond linesPerSecond: Int) {
        self.linesPerSecond = linesPerSecond
    }

    /// - Returns: how many lines were omitted since the last one, or nil if this one is to be omitted too.
    package func admit(at uptime: Duration) -> Int? {
        let second = uptime.components.seconds
        return state.withLock { state in
            if state.second != second { (state.second, state.lines) = (second, 0) }
            guard state.lines < linesPerSecond else {
                state.omitted += 1
                return nil
            }
            state.lines += 1
            defer { state.omitted = 0 }
            return state.omitted
        }
    }
}
