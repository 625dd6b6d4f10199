import Broker
import BrokerSQLite
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

    @Test func `a start over a trail that was altered makes none, and says so`() async throws {
        let folder = FileManager.default.temporaryDirectory.path + "/daypass-start-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (masterKey, _) = try MasterKey.generate()
        let clock = ManualClock()
        let configuration = AuditConfiguration(file: folder + "/audit.jsonl")
        // The first start, one after it, and one after the last record was taken from both the store and its copy.
        for (round, isSound) in [true, true, false, false].enumerated() {
            if round == 2 {
                let copy = try SQLiteStore(path: folder + "/other.db", .creating, logger: LogRecorder().logger)
                for _ in 0..<2 { try await copy.record(Sample.refusal()) }
                let key = try await Self.key(folder)
                try await copy.insert(try #require(key), Sample.keyEvent(.checkpointKeyMade))
                try await copy.record(Sample.refusal())
                await copy.close()
                try FileManager.default.removeItem(atPath: folder + "/audit.jsonl")
                try FileManager.default.removeItem(atPath: folder + "/daypass.db")
                try FileManager.default.moveItem(atPath: folder + "/other.db", toPath: folder + "/daypass.db")
            }
            let log = LogRecorder()
            let store = try SQLiteStore(path: folder + "/daypass.db", .creating, logger: LogRecorder().logger)
            try await AuditStart.begin(store, configuration, masterKey, clock: clock, log.logger)
            try await store.record(Sample.refusal())
            await store.close()
            let last = try SQLiteStore(path: folder + "/daypass.db", logger: LogRecorder().logger)
            #expect(try await last.checkpoints(after: 0, limit: 9).isEmpty != isSound, "round \(round)")
            #expect(log.text.contains("nothing of it is signed") != isSound)
            await last.close()
        }
    }

    private static func key(_ folder: String) async throws -> CheckpointKeyRecord? {
        let store = try SQLiteStore(path: folder + "/daypass.db", logger: LogRecorder().logger)
        let key = try await store.checkpointKeys().first
        await store.close()
        return key
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
