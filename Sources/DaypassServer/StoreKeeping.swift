import Broker
import ServiceLifecycle

/// Has the store pruned, again and again.
struct StoreKeeping: Service {
    let pruning: StorePruning

    func run() async throws {
        await Repeating(interval: StorePruning.interval).run(pruning) { await $0.round() }
    }
}
