import Synchronization

/// What is remembered of sealed cookies that would be good still, each until it is good no more: what came of a return,
/// which visit was left. Callable from any thread; does not suspend.
///
/// It is shared as places are (`FairPlaces`): no address has more than a quarter of it, no network more than half. What
/// finds no room is not remembered, and counts as new.
final class CookieMemory<Value: Sendable>: Sendable {
    private struct Entry {
        var value: Value
        let end: Duration
        let client: ClientAddress
    }

    private struct State {
        var entries: [String: Entry] = [:]
        /// When what is over was last forgotten.
        var swept = Duration.zero
    }

    private let places: FairPlaces
    private let state = Mutex(State())

    init(capacity: Int) {
        places = FairPlaces(capacity)
    }

    /// Remembers the value, unless there is one already.
    /// - Parameters:
    ///   - end: until then, on the clock that never goes back.
    ///   - client: for whom it counts.
    /// - Returns: the one that there is; nil where it is new.
    func remember(
        _ value: Value, of key: String, until end: Duration, for client: ClientAddress, at uptime: Duration
    ) -> Value? {
        state.withLock { state in
            if uptime - state.swept >= .seconds(1) {
                state.swept = uptime
                for (key, entry) in state.entries where entry.end <= uptime { forget(key, &state) }
            }
            if let known = state.entries[key] { return known.value }
            guard places.take(for: client) else { return nil }
            state.entries[key] = Entry(value: value, end: end, client: client)
            return nil
        }
    }

    func value(of key: String) -> Value? {
        state.withLock { $0.entries[key]?.value }
    }

    /// Does nothing where nothing is remembered.
    func replace(_ key: String, with value: Value) {
        state.withLock { $0.entries[key]?.value = value }
    }

    func forget(_ key: String) {
        state.withLock { forget(key, &$0) }
    }

    private func forget(_ key: String, _ state: inout State) {
        guard let entry = state.entries.removeValue(forKey: key) else { return }
        places.giveBack(of: entry.client)
    }

    var count: Int { state.withLock { $0.entries.count } }
}
