import Broker
import BrokerSQLite
import Logging
import ServiceLifecycle

/// Takes out of the store what has had its time, every minute, a little at once: an exchange never waits for more than
/// one batch.
struct StoreKeeping: Service {
    private static let pause: Duration = .seconds(60)
    private static let batch = 500

    let store: SQLiteStore
    let clock: any BrokerClock
    let logger: Logger

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                await forgetUses()
                try? await Task.sleep(for: Self.pause)
            }
        }
    }

    private func forgetUses() async {
        do {
            while try await store.forgetUses(expiredAt: clock.now, limit: Self.batch) == Self.batch, !Task.isCancelled {
                await Task.yield()
            }
        } catch {
            // The store says by itself that it does not work; the next round tries again.
            logger.warning("could not forget uses of subject tokens", metadata: ["failure": "\(error)"])
        }
    }
}
