import Broker
import Foundation
import ServiceLifecycle

/// Has the verification cache give back the memory of tokens that have expired, or whose key is gone, each minute.
struct VerificationKeeping: Service {
    let cache: VerificationCache
    let state: StateHolder
    let clock: any BrokerClock

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                try? await Task.sleep(for: .seconds(60))
                await cache.sweep(keeping: state.current.keyRing, at: clock.now.timeIntervalSince1970)
            }
        }
    }
}
