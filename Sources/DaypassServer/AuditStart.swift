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
        let keys = try await CheckpointKeys.open(in: store, with: masterKey, at: clock.now)
        if let file = configuration.file { try await store.writeAuditFile(file) }
        let report = await store.verifyAuditAtStart(with: keys)
        guard report.finding == nil else {
            logger.error(
                "the audit trail is not what was recorded, nothing of it is signed: `daypass audit verify`",
                metadata: [
                    "finding": "\(report.finding?.message ?? "")", "record": "\(report.finding?.sequence ?? 0)",
                ])
            return
        }
        if let waiting = report.waiting, AuditVerification.isLate(clock.now.auditMilliseconds, behind: waiting) {
            logger.warning(
                "the last audit records of before this start are signed only now: the broker did not stop by itself",
                metadata: ["records": "\(report.unsealed)"])
        }
        do {
            try await store.makeCheckpoint()
        } catch {
            // On a disk that is full the broker serves what needs no record.
            logger.error("no checkpoint could be made", metadata: ["failure": "\(error)"])
        }
    }
}
