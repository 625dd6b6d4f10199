import Broker
import GRDB
import JOSE

/// The row of `audit_last`: a signature that a checkpoint is the last that was made. It is written with each checkpoint, in
/// its transaction: whoever takes checkpoints away has none that fits the ones that are left, unless he kept it.
enum LastCheckpoint {
    static let table = """
        CREATE TABLE audit_last (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            number INTEGER NOT NULL,
            key_id TEXT NOT NULL,
            signature BLOB NOT NULL
        ) STRICT;
        """

    static func note(_ checkpoint: Checkpoint, signedWith keys: CheckpointKeys, _ db: Database) throws {
        let signature = try keys.signature(saying: .last, of: checkpoint)
        try db.cachedStatement(
            sql: "INSERT OR REPLACE INTO audit_last (id, number, key_id, signature) VALUES (1, ?, ?, ?)"
        ).run { binder in
            binder.integer(checkpoint.number)
            binder.text(signature.keyID)
            binder.blob(signature.bytes)
        }
    }

    /// Nil where the last checkpoint is the one that was noted, and where there never was one.
    static func finding(_ keys: CheckpointKeys?, _ db: Database) throws -> AuditFinding? {
        let last = try Checkpoint.last(db)
        var noted: (number: Int64, signature: CheckpointSignature)?
        let statement = try db.makeStatement(sql: "SELECT number, key_id, signature FROM audit_last")
        try statement.rows(binding: { _ in }) { row in
            let keyID = row.bytes(1).flatMap { ExactString(validating: $0[...]) }
            noted = (row.integer(0), CheckpointSignature(keyID: keyID ?? "", bytes: row.bytes(2) ?? []))
            return false
        }
        if last == nil, noted == nil { return nil }
        if let last, let noted, noted.number == last.number,
            keys?.didSay(.last, of: last, noted.signature) == true
        {
            return nil
        }
        let number = last?.number ?? 0
        if let noted, noted.number > number, AuditMark.numbers.contains(noted.number) {
            return AuditFinding(
                .checkpoint, (last?.sequence ?? 0) + 1,
                "checkpoint \(number + 1) is missing, and all up to checkpoint \(noted.number), which was made last")
        }
        return AuditFinding(
            .checkpoint, (last?.sequence ?? 0) + 1,
            "no signature says that checkpoint \(number) is the last that was made: later ones were taken away, or the "
                + "signature was")
    }
}
