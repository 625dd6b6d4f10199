package import Broker
package import JOSE
import Synchronization

/// A key set fetcher whose answers a test scripts, that counts its calls and can hold them until they are released.
package final class StubKeySetFetcher: KeySetFetcher {
    package typealias Answer = Result<FetchedKeySet, KeySetFetchFailure>

    private let state: Mutex<State>

    private struct State {
        var answers: [Answer]
        var calls = 0
        var isHolding = false
        var held: [CheckedContinuation<Void, Never>] = []
        var awaiting: [(calls: Int, CheckedContinuation<Void, Never>)] = []
    }

    /// - Parameter answers: in their order; the last one is given again and again. Without any, each fetch fails.
    package init(_ answers: Answer...) {
        state = Mutex(State(answers: answers))
    }

    /// Always answers with these keys.
    package convenience init(_ keys: JWKSet, maximumAge: Duration? = nil) {
        self.init(.success(FetchedKeySet(keys: keys, maximumAge: maximumAge)))
    }

    /// How many fetches have begun.
    package var calls: Int { state.withLock { $0.calls } }

    /// What all further fetches answer.
    package func answer(_ answers: Answer...) {
        state.withLock { $0.answers = answers }
    }

    package func answer(_ keys: JWKSet, maximumAge: Duration? = nil) {
        answer(.success(FetchedKeySet(keys: keys, maximumAge: maximumAge)))
    }

    package func fail(_ description: String = "the issuer cannot be reached") {
        answer(.failure(KeySetFetchFailure(description)))
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

    package func fetch() async throws(KeySetFetchFailure) -> FetchedKeySet {
        let (answer, called) = state.withLock { state in
            state.calls += 1
            let answer =
                state.answers.count > 1
                ? state.answers.removeFirst()
                : state.answers.first ?? .failure(KeySetFetchFailure("nothing was scripted"))
            let calls = state.calls
            let called = state.awaiting.filter { $0.calls <= calls }.map(\.1)
            state.awaiting.removeAll { $0.calls <= calls }
            return (answer, called)
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
