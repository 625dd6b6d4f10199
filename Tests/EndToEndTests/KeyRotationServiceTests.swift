import Broker
import BrokerTesting
import Foundation
import JOSE
import Logging
import ServiceLifecycle
import Testing

@testable import DaypassServer

@Suite struct `The service that rotates` {
    @Test func `makes what is due, asks again after each pause, and ends with its task`() async throws {
        let (clock, store, masterKey) = (ManualClock(), MemoryStore(), try MasterKey.generate().0)
        let keys = try [SigningKeyRecord.State.active, .staged].map {
            try SigningKey.generate(.ES256, state: $0, sealedWith: masterKey, at: clock.now)
        }
        try await store.insertFirstSigningKeys(keys)
        let holder = StateHolder(BrokerState(keyRing: try KeyRing(opening: keys, with: masterKey)))
        let rotation = try KeyRotation(
            store, holding: keys, sealedWith: masterKey, SigningConfiguration(), publishingIn: holder, clock: clock,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let (pauses, pausing) = AsyncStream<Duration>.makeStream()
        let service = KeyRotationService(rotation: rotation) { pause in
            // Each pause is an hour, and the last one never ends by itself.
            guard clock.uptime < .seconds(1000 + 8 * 86_400) else {
                pausing.finish()
                return try await Task.sleep(for: .seconds(3600))
            }
            pausing.yield(pause)
            clock.advance(by: .seconds(3600))
        }
        let running = Task { try await service.run() }
        var count = 0
        for await pause in pauses {
            #expect(pause == .seconds(60))
            count += 1
        }
        #expect(count == 8 * 24)
        #expect(holder.current.keyRing.active.jwk.keyID == keys[1].keyID)
        running.cancel()
        try await running.value
        #expect(try await store.signingKeys().map(\.state).contains(.retiring))
    }
}
