import Broker
import Dispatch
import GRDB
import Synchronization

/// Connections to a store that only read: in WAL mode they hold up nobody who writes. For what looks at many rows.
final class ReadConnection: Sendable {
    private enum State {
        case unopened
        case open(DatabaseQueue)
        case closed
    }

    private static let ownThreads = DispatchQueue(label: "daypass.reading", qos: .utility, attributes: .concurrent)

    private let path: String
    /// The one that is kept. Made when it is first needed.
    private let state = Mutex(State.unopened)

    init(path: String) {
        self.path = path
    }

    /// What `body` returns, run with the connection that is kept, on its own queue, one after the other. `body` has to be
    /// short: closing the store waits for it.
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

    /// What `body` returns, run with a connection of its own, on a thread of its own: for what takes long. Closing the store
    /// does not wait for it.
    /// - Parameter atOnce: whether what is read is one moment; the write-ahead log cannot begin anew as long as it is read.
    func performAlone<Value: Sendable>(
        _ operation: StaticString, atOnce: Bool = true, _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(StoreFailure) -> Value {
        let result: Result<Value, StoreFailure> = await withCheckedContinuation { continuation in
            Self.ownThreads.async { [path] in
                let result = Result {
                    let queue = try Self.open(path, busyTimeout: .seconds(5))
                    defer { try? queue.close() }
                    return try atOnce ? queue.read(body) : queue.inDatabase(body)
                }
                continuation.resume(returning: result.mapError { StoreFailure(operation, reporting: $0) })
            }
        }
        return try result.get()
    }

    /// Returns when what is being read with the connection that is kept is read. Whatever is asked for later is refused.
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
                let queue = try Self.open(path, busyTimeout: .seconds(1))
                state = .open(queue)
                return queue
            }
        }
    }

    private static func open(_ path: String, busyTimeout: Duration) throws(StoreFailure) -> DatabaseQueue {
        let configuration = Configuration.distrustful("daypass.reading", readonly: true, busyTimeout: busyTimeout)
        do {
            return try DatabaseQueue(path: path, configuration: configuration)
        } catch {
            throw StoreFailure("open the store to read", about: path, reporting: error)
        }
    }
}
