package import Broker
import FoundationEssentials
import GRDB
package import JOSE
import SPIFFE

extension SQLiteStore {
    package func session(_ id: ExactString) async throws(StoreFailure) -> SessionRecord? {
        try await perform("read a session") { try SessionRow.fetch(id, $0) }
    }
}

extension SessionRow {
    static let columns =
        #"id, issuer, subject, rule, start, "end", claims, lineage, actor, binding, rev"#
    static let selection = "SELECT \(columns) FROM sessions WHERE id = ?"

    /// The session of that id, read on the connection's queue.
    static func fetch(_ id: ExactString, _ db: Database) throws -> SessionRecord? {
        try Row.fetchCursor(db.cachedStatement(sql: selection), arguments: [id.string]).mapToArray(SessionRecord.init)
            .first
    }
}

extension SessionRecord {
    init(_ row: Row) throws {
        let lineage = try row.requiredText(7).string.split(separator: " ").map { ExactString(String($0)) }
        let id = try row.requiredText(0)
        // A binding that cannot be read must not become none.
        let binding = row.bytes(9)
        let fingerprint = binding.flatMap(CertificateFingerprint.init(bytes:))
        guard let issuer = IssuerName(recorded: try row.requiredText(1)), lineage.last == id,
            (fingerprint == nil) == (binding == nil),
            case .int64(let number) = (row[10] as DatabaseValue).storage, let revision = UInt64(exactly: number)
        else {
            throw StoreFailure(.unreadable, "read a session", cause: "a session has an unknown form")
        }
        self.init(
            id: id, ancestors: lineage.dropLast(), issuer: issuer, subject: try row.requiredText(2),
            rule: try row.requiredText(3), actor: try row.text(8).map { _ in try row.object(8) },
            binding: fingerprint, revision: revision, start: try row.date(4),
            end: try row.date(5), claims: try row.object(6))
    }
}
