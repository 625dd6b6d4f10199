import NIOPosix

/// Threads for tests that talk to servers and other programs.
///
/// Swift's pool has one thread for each processor, and a thousand tests that only compute wait in line there. Whoever had
/// to queue up behind them after each `await` would not keep a connection's time limits.
package final class OwnThreads: TaskExecutor {
    package static let shared = OwnThreads()

    private let pool = NIOThreadPool(numberOfThreads: 4)

    private init() {
        pool.start()
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        pool.submit { _ in job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
