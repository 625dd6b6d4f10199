// What the chain of audit records costs, and how fast it is verified: in one process, over a store of its own.
import Broker
import BrokerSQLite
import BrokerTesting
import Foundation
import JOSE
import Logging

/// Records `count` exchanges and verifies the chain. Prints microseconds for each record, and records for each second.
@main
struct AuditSteps {
    private static let callers = 64

    static func main() async throws {
        let count = CommandLine.arguments.dropFirst().first.flatMap(Int.init) ?? 200_000
        let events = (0..<min(count, 10_000)).map(event)
        let chain = AuditChain()
        let details = events.map { $0.details.encoded() }
        let columns = measure("columns, as the chain covers them", events.count) {
            zip(events, details).map { AuditColumns($0, details: $1) }
        }
        var last = AuditChain.start
        measure("digest", events.count) {
            for (number, record) in columns.enumerated() {
                last = chain.hash(after: last, sequence: Int64(number), record.bytes)
            }
        }
        let folder = try TemporaryFolder()
        let path = folder.path + "/daypass.db"
        let store = try SQLiteStore(
            path: path, .creating, logger: Logger(label: "steps") { _ in SwiftLogNoOpLogHandler() })
        let (masterKey, _) = try MasterKey.generate()
        store.sign(with: try await CheckpointKeys.open(in: store, with: masterKey, at: Date()))
        let start = ContinuousClock.now
        try await withThrowingTaskGroup(of: Void.self) { group in
            for caller in 0..<callers {
                group.addTask {
                    for number in stride(from: caller, to: count, by: callers) {
                        try await store.record(Sample.session("s\(number)"), event(number))
                    }
                }
            }
            try await group.waitForAll()
        }
        try await store.makeCheckpoint()
        print("recorded \(count) exchanges, \(callers) at once: \(rate(count, since: start)) a second")
        let length = try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int ?? 0
        for round in 1...3 {
            let begun = ContinuousClock.now
            var (records, next): (Int64, Int64?) = (0, nil)
            repeat {
                let report = try await store.verifyAudit(after: next, records: StoredAuditChain.stretch)
                precondition(report.finding == nil, report.finding?.message ?? "")
                records += report.records
                next = report.next
            } while next != nil
            print(
                "verified \(records) records (\(length >> 20) MiB), round \(round): \(rate(Int(records), since: begun)) a second"
            )
        }
        await store.close()
    }

    private static func event(_ number: Int) -> AuditEvent {
        let claims: JSONObject = [
            "iss": "https://token.actions.githubusercontent.com", "sub": "repo:acme/app:ref:refs/heads/main",
            "aud": "https://daypass.example.com", "iat": 1_700_000_000, "exp": 1_700_000_300,
            "jti": .string(ExactString("\(number)-6d2f2c5e-8b7b")), "repository_id": "123456", "ref": "refs/heads/main",
            "job_workflow_ref": "acme/app/.github/workflows/ci.yml@refs/heads/main",
        ]
        return AuditEvent(
            time: Sample.time, trace: TraceID(at: Sample.time), kind: .exchangeGranted, issuer: Sample.issuer,
            subject: "ci:repo:acme/app:ref:refs/heads/main", rule: "ci-main", sessionID: "AZqtVnEw1dCdqGm4vXo7Gw",
            tokenID: "AZqtVnEw1dCdqGm4vXo7Gx",
            details: [
                "client": "192.0.2.1", "scope": ["anthropic:messages"], "audience": "https://gateway.example.com",
                "expires": 1_700_000_900, "claims": .object(claims),
            ])
    }

    @discardableResult
    private static func measure<Value>(_ name: String, _ count: Int, _ body: () -> Value) -> Value {
        let start = ContinuousClock.now
        let value = body()
        let each = start.duration(to: .now) / .microseconds(1) / Double(count)
        print("\(name): \(String(format: "%.2f", each)) µs a record")
        return value
    }

    private static func rate(_ count: Int, since start: ContinuousClock.Instant) -> Int {
        Int(Double(count) / (start.duration(to: .now) / .seconds(1)))
    }
}
