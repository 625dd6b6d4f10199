/// Sleep that ends when a test says so, or with its task.
final class ScriptedSleep: Sendable {
    struct Nap: Sendable {
        let duration: Duration
        fileprivate let continuation: AsyncStream<Never>.Continuation

        func end() { continuation.finish() }
    }

    private let naps: AsyncStream<Nap>
    private let continuation: AsyncStream<Nap>.Continuation

    init() {
        (naps, continuation) = AsyncStream.makeStream()
    }

    /// The next sleep that somebody begins.
    func next() async -> Nap {
        var iterator = naps.makeAsyncIterator()
        guard let nap = await iterator.next() else { preconditionFailure("the test was cancelled") }
        return nap
    }

    var sleep: @Sendable (Duration) async throws -> Void {
        { duration in
            let (stream, end) = AsyncStream<Never>.makeStream()
            self.continuation.yield(Nap(duration: duration, continuation: end))
            for await _ in stream {}
            try Task.checkCancellation()
        }
    }
}
