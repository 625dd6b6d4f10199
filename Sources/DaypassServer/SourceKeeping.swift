import ServiceLifecycle

/// Something outside that is kept fresh for as long as it is configured.
struct Source: Sendable {
    /// The same for the same thing.
    let id: String
    /// Ends when it is cancelled.
    let service: any Service
}

/// Runs what is configured: what comes is started, what goes is cancelled, what stays is left alone.
struct SourceKeeping: Service {
    /// All that are configured, anew after each change.
    let changes: AsyncStream<[Source]>

    func run() async throws {
        var running: [String: Task<Void, Never>] = [:]
        for await sources in changes.cancelOnGracefulShutdown() {
            let configured = Set(sources.map(\.id))
            for (id, task) in running where !configured.contains(id) {
                task.cancel()
                running[id] = nil
            }
            for source in sources where running[source.id] == nil {
                running[source.id] = Task { try? await source.service.run() }
            }
        }
        for task in running.values { task.cancel() }
        for task in running.values { await task.value }
    }
}
