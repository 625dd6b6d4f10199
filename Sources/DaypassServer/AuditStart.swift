import Broker
import BrokerSQLite
import Logging

/// What is found out about the audit trail before the broker serves.
enum AuditStart {
    /// Has the trail written to its file and signed; before, it looks at what stands behind the last checkpoint but one, and
    /// at what the file says. Where something is wrong nothing is signed: a checkpoint would make it good.
    static func begin(
        _ store: SQLiteStore, _ configuration: AuditConfiguration, _ masterKey: MasterKey, clock: any BrokerClock,
        _ logger: Logger
    ) async throws {
        store.sign(with: try await CheckpointKeys.open(in: store, with: masterKey, at: clock.now))
        if let file = configuration.file { try await store.writeAuditFile(file) }
        do {
            let report = try await store.verifyAuditAtStart()
            guard let finding = report.finding else {
                try await store.makeCheckpoint()
                return
            }
            logger.error(
                "the audit trail is not what was recorded, nothing of it is signed: `daypass audit verify`",
                metadata: ["finding": "\(finding.message)", "record": "\(finding.sequence)"])
        } catch {
            // On a disk that is full the broker serves what needs no record.
            logger.error("the end of the audit trail cannot be looked at", metadata: ["failure": "\(error)"])
        }
    }
}
