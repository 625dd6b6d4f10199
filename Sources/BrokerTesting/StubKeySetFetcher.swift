package import Broker
package import JOSE
import Synchronization

/// A key set fetcher whose answers a test scripts, that counts its calls and can hold them until they are released.
package final class StubKeySetFetcher: KeySetFetcher {
    package typealias Answer = Result<FetchedKeySet, KeySetFetchFailure>

    private let answers: Mutex<[Answer]>
    private let gate = CallGate()

    /// - Parameter answers: in their order; the last one is given again and again. Without any, each fetch fails.
    package init(_ answers: Answer...) {
        self.answers = Mutex(answers)
    }

    /// Always answers with these keys.
    package convenience init(_ keys: JWKSet, maximumAge: Duration? = nil) {
        self.init(.success(FetchedKeySet(keys: keys, maximumAge: maximumAge)))
    }

    /// How many fetches have begun.
    package var calls: Int { gate.calls }

    /// What all further fetches answer.
    package func answer(_ answers: Answer...) {
        self.answers.withLock { $0 = answers }
    }

    package func answer(_ keys: JWKSet, maximumAge: Duration? = nil) {
        answer(.success(FetchedKeySet(keys: keys, maximumAge: maximumAge)))
    }

    package func fail(_ description: String = "the issuer cannot be reached") {
        answer(.failure(KeySetFetchFailure(description)))
    }

    /// From now on fetches do not return before `release()`.
    package func hold() { gate.hold() }

    package func release() { gate.release() }

    /// Returns when so many fetches have begun.
    package func untilCalled(_ calls: Int = 1) async { await gate.untilCalled(calls) }

    package func fetch() async throws(KeySetFetchFailure) -> FetchedKeySet {
        let answer = answers.withLock { answers in
            answers.count > 1
                ? answers.removeFirst()
                : answers.first ?? .failure(KeySetFetchFailure("nothing was scripted"))
        }
        gate.begin()
        await gate.pass()
        return try answer.get()
    }
}
