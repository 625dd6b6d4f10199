import Broker
import FoundationEssentials
import GRDB
import Logging

/// The tables of the chain, and the chain of the records that were there before.
enum AuditMigration {
    /// `hash` covers the record and the hash of the one before. A checkpoint's `archived` is the number of the record that
    /// says that all up to it was archived. `audit_sink` is how far the file of `audit.file` is known to have come.
    private static let tables = """
        ALTER TABLE audit ADD COLUMN hash BLOB;

        CREATE TABLE audit_checkpoints (
            number INTEGER PRIMARY KEY,
            sequence INTEGER NOT NULL,
            hash BLOB NOT NULL,
            time INTEGER NOT NULL,
            count INTEGER NOT NULL,
            generation INTEGER NOT NULL,
            key_id TEXT NOT NULL,
            previous BLOB NOT NULL,
            signature BLOB NOT NULL,
            archived INTEGER
        ) STRICT;

        CREATE TABLE checkpoint_keys (
            key_id TEXT NOT NULL PRIMARY KEY,
            public_key BLOB NOT NULL,
            sealed BLOB NOT NULL,
            master_key_id TEXT NOT NULL,
            created INTEGER NOT NULL
        ) STRICT;

        CREATE TABLE audit_sink (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            sequence INTEGER NOT NULL,
            checkpoint INTEGER NOT NULL
        ) STRICT;
        """

    private static let batch: Int64 = 1000

    /// In bounded memory, a thousand records at once, and in the one transaction that the caller began: killed, it begins
    /// anew.
    static func run(_ db: Database, _ logger: Logger?) throws {
        try db.execute(sql: tables)
        let count = try Int64.fetchOne(db, sql: "SELECT count(*) FROM audit") ?? 0
        guard count > 0 else { return }
        let metadata: Logger.Metadata = ["records": "\(count)"]
        logger?.notice("the store is brought up to date: its audit records are chained, once", metadata: metadata)
        try chain(db)
        logger?.notice("the audit records are chained", metadata: metadata)
    }

    private static func chain(_ db: Database) throws {
        let select = try db.makeStatement(
            sql: """
                SELECT sequence, time, trace, kind, issuer, subject, rule, session, token, reason, details FROM audit \
                WHERE sequence > ? ORDER BY sequence LIMIT \(batch)
                """)
        let update = try db.makeStatement(sql: "UPDATE audit SET hash = ? WHERE sequence = ?")
        let chain = AuditChain()
        var columns = AuditColumns(time: 0)
        var last = AuditMark(sequence: 0, hash: AuditChain.start)
        while true {
            var hashed: [AuditMark] = []
            try select.rows(binding: { $0.integer(last.sequence) }) { row in
                let sequence = row.integer(0)
                columns.read(row)
                last = AuditMark(
                    sequence: sequence, hash: chain.hash(after: last.hash, sequence: sequence, columns.bytes))
                hashed.append(last)
                return true
            }
            guard !hashed.isEmpty else { return }
            for mark in hashed {
                try update.run { binder in
                    binder.blob(mark.hash)
                    binder.integer(mark.sequence)
                }
            }
        }
    }
}
