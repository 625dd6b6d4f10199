import Broker
import ServiceLifecycle

/// Has the signing keys moved when they are due, again and again.
struct KeyRotationService: Service {
    let rotation: KeyRotation
    var sleep: Repeating.Sleep = { try await Task.sleep(for: $0) }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                await rotation.tick()
                let pause = await rotation.interval
                try? await sleep(pause)
            }
        }
    }
}
