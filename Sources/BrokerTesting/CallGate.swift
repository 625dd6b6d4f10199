import Synchronization

/// Counts the calls to a scripted peer, and can hold them until they are released. Callable from any thread.
final class CallGate: Sendable {
    private let state = Mutex(State())

    private struct State {
        var calls = 0
        var isHolding = false
        var held: [CheckedContinuation<Void, Never>] = []
        var awaiting: [(calls: Int, CheckedContinuation<Void, Never>)] = []
    }

    /// How many calls have begun.
    var calls: Int { state.withLock { $0.calls } }

    /// From now on `pass()` does not return before `release()`.
    func hold() {
        state.withLock { $0.isHolding = true }
    }

    func release() {
        let held = state.withLock { state in
            state.isHolding = false
            defer { state.held = [] }
            return state.held
        }
        for continuation in held { continuation.resume() }
    }

    /// Returns when so many calls have begun.
    func untilCalled(_ calls: Int) async {
        await withCheckedContinuation { continuation in
            let isOver = state.withLock { state in
                guard state.calls < calls else { return true }
                state.awaiting.append((calls, continuation))
                return false
            }
            if isOver { continuation.resume() }
        }
    }

    /// Counts a call that begins.
    func begin() {
        let called = state.withLock { state in
            state.calls += 1
            let calls = state.calls
            let called = state.awaiting.filter { $0.calls <= calls }.map(\.1)
            state.awaiting.removeAll { $0.calls <= calls }
            return called
        }
        for continuation in called { continuation.resume() }
    }

    /// Returns at once, or where calls are held when they are released.
    func pass() async {
        await withCheckedContinuation { continuation in
            let goesOn = state.withLock { state in
                guard state.isHolding else { return true }
                state.held.append(continuation)
                return false
            }
            if goesOn { continuation.resume() }
        }
    }
}
