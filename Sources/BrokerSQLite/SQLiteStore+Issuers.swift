package import Broker
import GRDB
package import JOSE

extension SQLiteStore: IssuerRegistry {
    package func bind(
        _ issuers: [IssuerName: ExactString], recording event: AuditEvent?
    ) async throws(StoreFailure) {
        let auditRow = event.map { AuditRow($0) }
        // At the start nothing is recorded, and the broker starts also while the file is full.
        try await write("bind issuers", needingFile: auditRow != nil) { db, audit in
            let insert = try db.cachedStatement(sql: "INSERT INTO issuers (name, issuer) VALUES (?, ?)")
            for (name, issuer) in try Self.unbound(issuers, db) {
                try insert.run {
                    $0.text(name.text)
                    $0.text(issuer)
                }
            }
            if let auditRow { try audit.append(auditRow) }
        }
    }

    package func checkBinding(_ issuers: [IssuerName: ExactString]) async throws(StoreFailure) {
        try await perform("bind issuers") { db in _ = try Self.unbound(issuers, db) }
    }

    /// Those whose names stand for nothing yet.
    /// - Throws: `.conflict` where a name stands for another issuer.
    private static func unbound(
        _ issuers: [IssuerName: ExactString], _ db: Database
    ) throws -> [(IssuerName, ExactString)] {
        // In the order of names, so that of several conflicts always the same is reported.
        try issuers.sorted { $0.key.text < $1.key.text }.compactMap { name, issuer in
            guard let bound = try Self.issuer(of: name, db) else { return (name, issuer) }
            guard bound == issuer else {
                throw StoreFailure(
                    .conflict, "bind issuers",
                    cause: "the name \(name) stands for the issuer \(bound) for good; \(issuer) needs another name")
            }
            return nil
        }
    }

    private static func issuer(of name: IssuerName, _ db: Database) throws -> ExactString? {
        let statement = try db.cachedStatement(sql: "SELECT issuer FROM issuers WHERE name = ?")
        return try Row.fetchCursor(statement, arguments: [name.text.string]).mapToArray { try $0.requiredText(0) }.first
    }
}
