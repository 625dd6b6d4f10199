import Broker
import ServiceLifecycle

/// Has the store pruned, again and again.
struct StoreKeeping: Service {
    let pruning: StorePruning

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var pruning = pruning
            while !Task.isCancelled {
                await pruning.round()
                try? await Task.sleep(for: StorePruning.interval)
            }
        }
    }
}
