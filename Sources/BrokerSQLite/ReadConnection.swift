import Broker
import Dispatch
import GRDB
import Synchronization

/// A second connection to a store, which only reads: in WAL mode it looks at one moment and holds up nobody who writes.
/// For what looks at many rows. Made when it is first needed.
final class ReadConnection: Sendable {
    private enum State {
        case unopened
        case open(DatabaseQueue)
        case closed
    }

    private let path: String
    private let state = Mutex(State.unopened)

    init(path: String) {
        self.path = path
    }

    /// What `body` returns, run on the connection's own queue, one after the other. `body` has to be short: closing the
    /// store waits for it.
    func perform<Value: Sendable>(
        _ operation: StaticString, _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(StoreFailure) -> Value {
        let queue = try opened(operation)
        let result: Result<Value, StoreFailure> = await withCheckedContinuation { continuation in
            queue.asyncWriteWithoutTransaction { [self] db in
                guard !isClosed else {
                    let failure = StoreFailure(.unavailable, operation, cause: GroupCommit.closed)
                    return continuation.resume(returning: .failure(failure))
                }
                continuation.resume(
                    returning: Result { try body(db) }.mapError { StoreFailure(operation, reporting: $0) })
            }
        }
        return try result.get()
    }

    /// Returns when what is being read is read. Whatever is asked for later is refused.
    func close() async {
        let queue: DatabaseQueue? = state.withLock { state in
            defer { state = .closed }
            if case .open(let queue) = state { return queue }
            return nil
        }
        guard let queue else { return }
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                try? queue.close()
                continuation.resume()
            }
        }
    }

    private var isClosed: Bool {
        state.withLock { if case .closed = $0 { true } else { false } }
    }

    private func opened(_ operation: StaticString) throws(StoreFailure) -> DatabaseQueue {
        try state.withLock { state throws(StoreFailure) in
            switch state {
            case .open(let queue): return queue
            case .closed: throw StoreFailure(.unavailable, operation, cause: GroupCommit.closed)
            case .unopened:
                let queue = try Self.open(path)
                state = .open(queue)
                return queue
            }
        }
    }

    private static func open(_ path: String) throws(StoreFailure) -> DatabaseQueue {
        var configuration = Configuration()
        configuration.label = "daypass.reading"
        configuration.qos = .utility
        configuration.readonly = true
        configuration.busyMode = .timeout(1)
        configuration.allowsUnsafeTransactions = true
        do {
            return try DatabaseQueue(path: path, configuration: configuration)
        } catch {
            throw StoreFailure("open the store to read", about: path, reporting: error)
        }
    }
}
