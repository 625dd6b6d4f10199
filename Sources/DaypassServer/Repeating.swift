import ServiceLifecycle

/// What is done again and again while the broker serves.
struct Repeating: Sendable {
    /// Ends early, with any error, when the task is cancelled.
    typealias Sleep = @Sendable (Duration) async throws -> Void

    let interval: Duration
    var sleep: Sleep = { try await Task.sleep(for: $0) }
    /// False where the first round has to wait, too.
    var beginsAtOnce = true

    /// Until the broker is shut down, or the task is cancelled.
    /// - Parameters:
    ///   - state: what one round leaves to the next.
    func run<State: Sendable>(
        _ state: State, _ round: @escaping @Sendable (inout State) async -> Void
    ) async {
        await cancelWhenGracefulShutdown {
            var state = state
            if beginsAtOnce { await round(&state) }
            while !Task.isCancelled {
                do {
                    try await sleep(interval)
                } catch {
                    return
                }
                await round(&state)
            }
        }
    }
}
