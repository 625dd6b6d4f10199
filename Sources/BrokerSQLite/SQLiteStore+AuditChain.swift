package import Broker
import FoundationEssentials
import GRDB
import Logging
import Synchronization

extension SQLiteStore: AuditChainStore {
    package func checkpointKeys() async throws(StoreFailure) -> [CheckpointKeyRecord] {
        try await perform("read checkpoint keys") { try CheckpointKeyRecord.fetchAll($0) }
    }

    package func insert(_ key: CheckpointKeyRecord, _ event: AuditEvent) async throws(StoreFailure) {
        let row = AuditRow(event)
        try await write("insert a checkpoint key") { db, audit in
            try key.insert(db)
            try audit.append(row)
        }
    }

    package func sign(with keys: CheckpointKeys) {
        commits.trail.sign(with: keys)
    }

    @discardableResult
    package func makeCheckpoint() async throws(StoreFailure) -> Checkpoint? {
        return try await perform("make a checkpoint") { [commits] db in
            // Without anything new no transaction begins, and nothing is synced.
            let last = commits.trail.mark?.sequence
            if let last, try Checkpoint.last(db)?.sequence == last { return try Checkpoint.last(db) }
            return try commits.write(db, needingFile: false) { audit in
                try audit.sealIfDue(atOnce: true)
                return audit.tail.lastCheckpoint
            }
        }
    }

    package func checkpoints(after number: Int64, limit: Int) async throws(StoreFailure) -> [Checkpoint] {
        try await perform("read checkpoints") { db in
            try Checkpoint.fetch(
                db, "SELECT \(Checkpoint.columns) FROM audit_checkpoints WHERE number > ? ORDER BY number LIMIT ?",
                [number, limit])
        }
    }

    package func checkpoints(behind records: ClosedRange<Int64>) async throws(StoreFailure) -> [Checkpoint] {
        try await reading.performAlone("read checkpoints") { db in
            try Checkpoint.fetch(
                db,
                "SELECT \(Checkpoint.columns) FROM audit_checkpoints WHERE sequence BETWEEN ? AND ? ORDER BY number",
                [records.lowerBound, records.upperBound])
        }
    }

    package func verifyAudit(
        after checkpoint: Int64?, records: Int
    ) async throws(StoreFailure) -> AuditReport {
        guard isVerifying.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing).exchanged
        else {
            throw StoreFailure(.conflict, "verify the audit trail", cause: "another verification is under way")
        }
        defer { isVerifying.store(false, ordering: .releasing) }
        // Before the moment that is read: what it has, that moment has.
        let (keys, tail, finding) = (commits.trail.keys, commits.trail.tail, commits.trail.finding)
        let report = try await reading.performAlone("verify the audit trail") { db in
            try AuditReading.verify(db, after: checkpoint, records: records, keys: keys, remembering: tail)
        }
        return report.with(finding)
    }

    /// Verifies the end of the chain before anything is signed, and where something is wrong has nothing signed by this
    /// process: a checkpoint over what was altered would make it good. `verifyAudit` tells of it from then on.
    package func verifyAuditAtStart() async throws(StoreFailure) -> AuditReport {
        let trail = commits.trail
        let keys = trail.keys
        let report = try await reading.performAlone("verify the end of the audit trail") { db in
            try AuditReading.verifyAtStart(db, keys: keys)
        }
        if let finding = report.finding { trail.note(finding) }
        return report.with(trail.finding)
    }

    /// Has every record written to this file from now on, after those that the store has and the file has not.
    /// - Throws: `.unavailable` where it cannot be opened. Where it is full, nothing is granted until it is not.
    package func writeAuditFile(_ path: String) async throws(StoreFailure) {
        let logger = commits.logger
        try await perform("open the audit file") { [trail = commits.trail] db in
            trail.write(to: try AuditSink(path: path, db, logger: logger))
            do {
                try trail.mirror(db)
            } catch {
                logger.error("the audit file cannot be written", metadata: ["failure": "\(error)"])
            }
        }
    }

    /// Opens the file of `writeAuditFile` again by its name: for programs that rotate it.
    package func reopenAuditFile() async throws(StoreFailure) {
        try await perform("open the audit file again") { [trail = commits.trail] db in
            try trail.mirror(db, reopening: true)
        }
    }

    package func auditMarks(after sequence: Int64, limit: Int) async throws(StoreFailure) -> [AuditMark] {
        try await reading.performAlone("read hashes of the audit trail") { db in
            try AuditReading.marks(db, after: sequence, limit: limit)
        }
    }
}
