import Broker
import ServiceLifecycle

/// Makes durable what is not yet, each second, and has revocations pruned that match nothing any more, each minute.
struct RevocationKeeping: Service {
    let revocations: Revocations
    let pruning: RevocationPruning

    func run() async throws {
        await Repeating(interval: .seconds(1)).run((pruning: pruning, seconds: 0)) { state in
            await revocations.retry()
            if state.seconds.isMultiple(of: 60) { await state.pruning.round() }
            state.seconds += 1
        }
        // Whoever was told that it is not durable yet may still get it: the store closes after this.
        await revocations.retry()
    }
}
