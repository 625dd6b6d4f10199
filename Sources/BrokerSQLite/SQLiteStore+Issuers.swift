package import Broker
import GRDB
package import JOSE

extension SQLiteStore: IssuerRegistry {
    package func bind(_ issuers: [IssuerName: ExactString]) async throws(StoreFailure) {
        try await perform("bind issuers") { db in
            try db.inTransaction(.immediate) {
                let insert = try db.cachedStatement(sql: "INSERT INTO issuers (name, issuer) VALUES (?, ?)")
                // In the order of names, so that of several conflicts always the same is reported.
                for (name, issuer) in issuers.sorted(by: { $0.key.text < $1.key.text }) {
                    guard let bound = try Self.issuer(of: name, db) else {
                        try insert.run {
                            $0.text(name.text)
                            $0.text(issuer)
                        }
                        continue
                    }
                    guard bound == issuer else {
                        throw StoreFailure(
                            .conflict, "bind issuers",
                            cause:
                                "the name \(name) stands for the issuer \(bound) for good; \(issuer) needs another name"
                        )
                    }
                }
                return .commit
            }
        }
    }

    private static func issuer(of name: IssuerName, _ db: Database) throws -> ExactString? {
        let statement = try db.cachedStatement(sql: "SELECT issuer FROM issuers WHERE name = ?")
        return try Row.fetchCursor(statement, arguments: [name.text.string]).mapToArray { try $0.requiredText(0) }.first
    }
}
