package import Broker
import Synchronization

/// A bundle endpoint whose answers a test scripts, that counts its calls and can hold them until they are released.
package final class StubBundleFetcher: BundleFetcher {
    private let answer: Mutex<Result<[UInt8], BundleFetchFailure>>
    private let gate = CallGate()

    /// - Parameter document: what it serves; without one each fetch fails.
    package init(_ document: [UInt8]? = nil) {
        answer = Mutex(document.map { .success($0) } ?? .failure(BundleFetchFailure("down")))
    }

    /// How many fetches have begun.
    package var calls: Int { gate.calls }

    package func serve(_ document: [UInt8]) {
        answer.withLock { $0 = .success(document) }
    }

    package func fail(_ description: String = "down") {
        answer.withLock { $0 = .failure(BundleFetchFailure(description)) }
    }

    /// From now on fetches do not return before `release()`.
    package func hold() { gate.hold() }

    package func release() { gate.release() }

    /// Returns when so many fetches have begun.
    package func untilCalled(_ calls: Int = 1) async { await gate.untilCalled(calls) }

    package func fetch() async throws(BundleFetchFailure) -> [UInt8] {
        let answer = answer.withLock { $0 }
        gate.begin()
        await gate.pass()
        return try answer.get()
    }
}
