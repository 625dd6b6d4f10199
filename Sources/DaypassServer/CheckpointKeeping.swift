import Broker
import Logging
import ServiceLifecycle

/// Has a checkpoint made of the audit trail, again and again, where anything is new. The last one is made when the store is
/// closed.
struct CheckpointKeeping: Service {
    let store: any AuditChainStore
    let logger: Logger
    var sleep: Repeating.Sleep = { try await Task.sleep(for: $0) }

    func run() async throws {
        await Repeating(interval: CheckpointRhythm.interval, sleep: sleep, beginsAtOnce: false).run(()) { _ in
            do throws(StoreFailure) {
                try await store.makeCheckpoint()
            } catch {
                logger.warning("no checkpoint could be made", metadata: ["failure": "\(error)"])
            }
        }
    }
}
