import ServiceLifecycle

/// Beats at once, at each change, and at least once in an interval, until the program is to stop. What comes while nobody
/// listens is one beat.
struct EventPulse: Sendable {
    let beats: AsyncStream<Void>
    private let tasks: [Task<Void, Never>]

    /// To be ended where it was begun. The tasks know of the program's end by the task that begins it.
    init(of changes: AsyncStream<Void>, every interval: Duration) {
        let (beats, beat) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        self.beats = beats
        beat.yield()
        tasks = [
            Task {
                for await _ in changes { beat.yield() }
            },
            Task {
                while !Task.isCancelled {
                    try? await Task.sleep(for: interval)
                    beat.yield()
                }
            },
            Task {
                try? await gracefulShutdown()
                beat.finish()
            },
        ]
    }

    func end() {
        for task in tasks { task.cancel() }
    }
}
