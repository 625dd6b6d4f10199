package import Broker
import FoundationEssentials
import GRDB
import JOSE
package import SPIFFE

extension SQLiteStore: TrustBundleStore {
    package func trustBundle(of trustDomain: TrustDomain) async throws(StoreFailure) -> TrustBundleRecord? {
        try await perform("read a trust bundle") { try Self.record(of: trustDomain, $0) }
    }

    package func keep(_ record: TrustBundleRecord) async throws(StoreFailure) {
        try await writeUnrecorded("keep a trust bundle") { db in
            if let kept = try Self.record(of: record.trustDomain, db), !kept.mayBecome(record) {
                throw StoreFailure(
                    .conflict, "keep a trust bundle",
                    cause: "one of \(record.trustDomain) with a higher sequence is kept already")
            }
            try db.cachedStatement(
                sql: """
                    INSERT OR REPLACE INTO trust_bundles
                        (trust_domain, endpoint, sequence, sealed, master_key_id, updated)
                    VALUES (?, ?, ?, ?, ?, ?)
                    """
            ).run(binding: record.bind)
        }
    }

    /// What is kept of every trust domain.
    package func trustBundles() async throws(StoreFailure) -> [TrustBundleRecord] {
        try await perform("read trust bundles") { db in
            let names = try Row.fetchCursor(db, sql: "SELECT trust_domain FROM trust_bundles ORDER BY trust_domain")
                .mapToArray { try $0.requiredText(0) }
            return try names.compactMap { try Self.record(of: TrustDomain(parsing: $0.string), db) }
        }
    }

    private static func record(of trustDomain: TrustDomain, _ db: Database) throws -> TrustBundleRecord? {
        let statement = try db.cachedStatement(
            sql: "SELECT endpoint, sequence, sealed, master_key_id, updated FROM trust_bundles WHERE trust_domain = ?")
        return try Row.fetchCursor(statement, arguments: [trustDomain.name.string])
            .mapToArray { try TrustBundleRecord($0, of: trustDomain) }.first
    }
}

extension TrustBundleRecord {
    static func fetchAll(_ db: Database) throws -> [TrustBundleRecord] {
        let sql = """
            SELECT endpoint, sequence, sealed, master_key_id, updated, trust_domain FROM trust_bundles
            ORDER BY trust_domain
            """
        return try Row.fetchCursor(db, sql: sql).mapToArray { row in
            guard let domain = try? TrustDomain(parsing: try row.requiredText(5).string.utf8) else {
                throw StoreFailure(.unreadable, "read a trust bundle", cause: "a trust domain has an unknown form")
            }
            return try TrustBundleRecord(row, of: domain)
        }
    }

    fileprivate init(_ row: Row, of trustDomain: TrustDomain) throws {
        let digits = try row.text(1)
        let sequence = digits.flatMap { UInt64($0.string) }
        // A sequence that cannot be read must not become none.
        guard (sequence == nil) == (digits == nil) else {
            throw StoreFailure(.unreadable, "read a trust bundle", cause: "a sequence has an unknown form")
        }
        self.init(
            trustDomain: trustDomain, endpoint: try row.requiredText(0), sequence: sequence, sealed: row.bytes(2) ?? [],
            masterKeyID: try row.requiredText(3), updated: try row.date(4))
    }

    fileprivate func bind(_ binder: inout Binder) {
        binder.text(trustDomain.name)
        binder.text(endpoint)
        binder.text(sequence.map { String($0) })
        binder.blob(sealed)
        binder.text(masterKeyID)
        binder.integer(updated.milliseconds)
    }
}
