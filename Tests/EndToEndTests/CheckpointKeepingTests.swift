import Broker
import BrokerTesting
import Foundation
import Logging
import ServiceLifecycle
import Synchronization
import Testing

@testable import DaypassServer

@Suite struct `The service that makes checkpoints` {
    @Test func `makes one after each minute in which anything was recorded, and ends with its task`() async throws {
        let (store, log) = (MemoryStore(), LogRecorder())
        _ = try await StoreConformance.signing(store)
        let (pauses, pausing) = AsyncStream<(Duration, Int64)>.makeStream()
        let service = CheckpointKeeping(store: store, logger: log.logger) { pause in
            let last = try await store.checkpoints(after: 0, limit: 9).last?.number ?? 0
            pausing.yield((pause, last))
            switch last {
            case 0, 1: try await store.record(Sample.refusal())
            default:
                pausing.finish()
                // It never ends by itself.
                try await Task.sleep(for: .seconds(3600))
            }
        }
        let running = Task { try await service.run() }
        var seen: [(Duration, Int64)] = []
        for await pause in pauses { seen.append(pause) }
        #expect(seen.map(\.0) == [.seconds(60), .seconds(60), .seconds(60)] && seen.map(\.1) == [0, 1, 2])
        running.cancel()
        try await running.value
        #expect(log.lines == [])
    }

    @Test func `says that none could be made, and goes on`() async throws {
        let (store, log) = (MemoryStore(), LogRecorder())
        _ = try await StoreConformance.signing(store)
        let (ends, ending) = AsyncStream<Void>.makeStream()
        let rounds = Rounds()
        let service = CheckpointKeeping(store: store, logger: log.logger) { _ in
            switch rounds.next() {
            case 1: store.fail(with: StoreFailure(.unavailable, "make a checkpoint", cause: "told to"))
            case 2: store.fail(with: nil)
            default:
                ending.finish()
                try await Task.sleep(for: .seconds(3600))
            }
        }
        let running = Task { try await service.run() }
        for await _ in ends {}
        running.cancel()
        try await running.value
        #expect(log.lines.count == 1 && log.lines[0].contains("no checkpoint could be made"))
        #expect(try await store.checkpoints(after: 0, limit: 9).count == 1)
    }
}

/// Counts how often it is asked.
private final class Rounds: Sendable {
    private let count = Mutex(0)

    func next() -> Int {
        count.withLock { count in
            count += 1
            return count
        }
    }
}
