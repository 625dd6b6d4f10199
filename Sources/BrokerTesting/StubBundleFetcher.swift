package import Broker
import Synchronization

/// A bundle endpoint whose answers a test scripts, that counts its calls and can hold them until they are released.
package final class StubBundleFetcher: BundleFetcher {
    private let state: Mutex<State>

    private struct State {
        var answer: Result<[UInt8], BundleFetchFailure>
        var calls = 0
        var isHolding = false
        var held: [CheckedContinuation<Void, Never>] = []
        var awaiting: [(calls: Int, CheckedContinuation<Void, Never>)] = []
    }

    /// - Parameter document: what it serves; without one each fetch fails.
    package init(_ document: [UInt8]? = nil) {
        state = Mutex(State(answer: document.map { .success($0) } ?? .failure(BundleFetchFailure("down"))))
    }

    /// How many fetches have begun.
    package var calls: Int { state.withLock { $0.calls } }

    package func serve(_ document: [UInt8]) {
        state.withLock { $0.answer = .success(document) }
    }

    package func fail(_ description: String = "down") {
        state.withLock { $0.answer = .failure(BundleFetchFailure(description)) }
    }

    /// From now on fetches do not return before `release()`.
    package func hold() {
        state.withLock { $0.isHolding = true }
    }

    package func release() {
        let held = state.withLock { state in
            state.isHolding = false
            defer { state.held = [] }
            return state.held
        }
        for continuation in held { continuation.resume() }
    }

    /// Returns when so many fetches have begun.
    package func untilCalled(_ calls: Int = 1) async {
        await withCheckedContinuation { continuation in
            let isOver = state.withLock { state in
                guard state.calls < calls else { return true }
                state.awaiting.append((calls, continuation))
                return false
            }
            if isOver { continuation.resume() }
        }
    }

    package func fetch() async throws(BundleFetchFailure) -> [UInt8] {
        let (answer, called) = state.withLock { state in
            state.calls += 1
            let calls = state.calls
            let called = state.awaiting.filter { $0.calls <= calls }.map(\.1)
            state.awaiting.removeAll { $0.calls <= calls }
            return (state.answer, called)
        }
        for continuation in called { continuation.resume() }
        await withCheckedContinuation { continuation in
            let goesOn = state.withLock { state in
                guard state.isHolding else { return true }
                state.held.append(continuation)
                return false
            }
            if goesOn { continuation.resume() }
        }
        return try answer.get()
    }
}
