import Broker
import BrokerSQLite
import BrokerTesting
import Foundation
import JOSE
import Logging
import Testing

@Suite(.onOwnThreads) struct `A daemon whose clock is behind its audit record` {
    /// A broker that was stopped after its clock had been so many seconds ahead.
    private func stopped(ahead seconds: Double) async throws -> RunningBroker {
        let workspace = try Workspace()
        let issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        let broker = try await RunningBroker(
            workspace, issuersAndRules: try RunningBroker.fileIssuer(issuer, in: workspace))
        broker.process.signal(SIGTERM)
        #expect(try await broker.process.outcome().status == 0)
        let store = try SQLiteStore(
            path: workspace.path("data/daypass.db"), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await store.record(Sample.refusal(time: Date().addingTimeInterval(seconds)))
        await store.close()
        return broker
    }

    @Test func `refuses to start more than 5 minutes before the last record, in words`() async throws {
        let broker = try await stopped(ahead: 400)
        let arguments = ["serve", "--config", broker.workspace.path("daypass.yaml")]
        let refused = try await RunningProcess(Programs.daypassd, arguments).outcome()
        #expect(refused.status == 1)
        #expect(refused.error.hasPrefix("daypassd: the clock says 20"), "\(refused.error)")
        #expect(refused.error.contains("Z, and the last audit record is of 20"))
        #expect(refused.error.contains("set the clock, or, where it is right and was ahead before, start once with"))
        #expect(refused.error.contains("--accept-earlier-clock"))

        let accepted = try RunningProcess(Programs.daypassd, arguments + ["--accept-earlier-clock"])
        try await RunningBroker.waitUntilListening(accepted)
        #expect(accepted.error.contains("accepted, as asked for"))
        accepted.signal(SIGTERM)
        #expect(try await accepted.outcome().status == 0)
    }

    @Test(arguments: [-86_400.0, 200])
    func `starts within the tolerance`(ahead: Double) async throws {
        let broker = try await RunningBroker(restarting: stopped(ahead: ahead))
        #expect(!broker.process.error.contains("accepted"))
        broker.process.signal(SIGTERM)
        #expect(try await broker.process.outcome().status == 0)
    }
}
