import Broker
import BrokerSQLite
import BrokerTesting
import Foundation
import Logging
import OpenSSL
import Testing

@testable import DaypassServer

@Suite(.onOwnThreads, .timeLimit(.minutes(2))) struct `What the broker does while it serves` {
    /// A line left out of the list would fail no other test: a start and a stop make checkpoints, too.
    @Test(arguments: [false, true])
    func `every service that keeps the store and the keys in order is started`(_ hasFile: Bool) async throws {
        let workspace = try Workspace()
        let made = try await RunningProcess(Programs.daypassd, ["init"], in: workspace.folder).outcome()
        try #require(made.status == 0, "\(made.error)")
        var (configuration, _) = try ConfigurationFile.read(workspace.path("config/daypass.yaml"))
        if hasFile { configuration.audit.file = workspace.path("audit.jsonl") }
        let daemon = try await Daemon(configuration, logger: LogRecorder().logger)
        let kinds = daemon.keeping.map { "\(type(of: $0))" }
        await daemon.store.close()
        #expect(
            kinds == [
                "StoreKeeping", "AuditIndexing", "RevocationKeeping", "CheckpointKeeping", "KeyRotationService",
                "CredentialKeeping",
            ] + (hasFile ? ["AuditFileReopening"] : []))
    }

    @Test func `uses of credentials are recorded each minute, and once more at the end`() async throws {
        let (memory, clock) = (MemoryStore(), ManualClock())
        let provider = try #require(ProviderName(parsing: "anthropic"))
        let credentials = ProviderCredentials(memory, sealedWith: try MasterKey.generate().0, clock: clock)
        _ = try await credentials.add(
            SecretBytes(copying: Array("abc".utf8).span), to: provider, by: .daemon, under: TraceID())
        _ = try await credentials.promote(1, of: provider, by: .daemon, under: TraceID())
        let (pauses, pausing) = AsyncStream<(Duration, Date?)>.makeStream()
        let service = CredentialKeeping(credentials: credentials, logger: LogRecorder().logger) { pause in
            let stored = try await memory.credentialVersions(of: provider, after: nil, limit: 1).first?.lastUsed
            pausing.yield((pause, stored))
            clock.advance(by: pause)
            _ = try await credentials.open(provider)
            guard stored != nil else { return }
            pausing.finish()
            // It never ends by itself.
            try await Task.sleep(for: .seconds(3600))
        }
        let (start, running) = (clock.now, Task { try await service.run() })
        var seen: [(Duration, Date?)] = []
        for await pause in pauses { seen.append(pause) }
        #expect(seen.map(\.0) == [.seconds(60), .seconds(60)])
        #expect(seen.map(\.1) == [nil, start.addingTimeInterval(60)])
        running.cancel()
        try await running.value
        let last = try await memory.credentialVersions(of: provider, after: nil, limit: 1).first?.lastUsed
        #expect(last == start.addingTimeInterval(120))
    }
}
