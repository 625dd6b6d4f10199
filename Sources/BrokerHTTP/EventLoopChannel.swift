import Hummingbird
import HummingbirdCore
import Logging
import NIOCore

/// An HTTP/1 connection whose requests are answered on the connection's own event loop.
///
/// Left to itself a request would travel to Swift's pool of threads and back, which costs more than the work between: two
/// thread switches each way. What blocks for long never runs here: the store and the resolver have queues of their own.
struct EventLoopChannel: ServerChildChannel {
    typealias Value = HTTP1Channel.Value

    let base: HTTP1Channel
    /// Nil where no address is limited.
    let shares: ConnectionShares?

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        let value = base.setup(channel: channel, logger: logger)
        shares?.admit(channel)
        return value
    }

    func handle(value: Value, logger: Logger) async {
        await withTaskExecutorPreference(EventLoopExecutor(value.channel.eventLoop)) {
            await base.handle(value: value, logger: logger)
        }
    }
}

/// Runs tasks on an event loop.
final class EventLoopExecutor: TaskExecutor {
    private let eventLoop: any EventLoop

    init(_ eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        eventLoop.execute {
            job.runSynchronously(on: self.asUnownedTaskExecutor())
        }
    }
}
