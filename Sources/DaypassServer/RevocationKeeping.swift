import Broker
import ServiceLifecycle

/// Makes durable what is not yet, each second, and has revocations pruned that match nothing any more, each minute.
struct RevocationKeeping: Service {
    let revocations: Revocations
    let pruning: RevocationPruning

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var pruning = pruning
            var seconds = 0
            while !Task.isCancelled {
                await revocations.retry()
                if seconds.isMultiple(of: 60) { await pruning.round() }
                seconds += 1
                try? await Task.sleep(for: .seconds(1))
            }
        }
        // Whoever was told that it is not durable yet may still get it: the store closes after this.
        await revocations.retry()
    }
}
