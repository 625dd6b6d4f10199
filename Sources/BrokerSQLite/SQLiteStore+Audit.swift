package import Broker
package import FoundationEssentials
import GRDB
import JOSE

extension SQLiteStore: AuditReader {
    package func auditEvents(trace: TraceID) async throws(StoreFailure) -> [AuditEvent] {
        try await perform("read audit records") { db in
            let statement = try db.cachedStatement(
                sql: """
                    SELECT \(AuditEvent.columns) FROM audit WHERE trace = ? ORDER BY sequence
                    """)
            return try Row.fetchCursor(statement, arguments: [trace.description]).mapToArray(AuditEvent.init)
        }
    }
}

extension SQLiteStore {
    package func lastAuditTime() async throws(StoreFailure) -> Date? {
        try await perform("read the last audit record") { db in
            try Row.fetchCursor(db, sql: "SELECT time FROM audit ORDER BY sequence DESC LIMIT 1")
                .mapToArray { try $0.date(0) }.first
        }
    }

    /// Looks at the records that were made last, in their order, and not at the times of all.
    package func latestExpiry(
        grantedAfter moment: Date, lookingAt count: Int
    ) async throws(StoreFailure) -> Date? {
        try await perform("look for the last token's expiry") { db in
            let kinds = AuditEvent.grants.map { "'\($0.rawValue)'" }.joined(separator: ", ")
            let rows = try Row.fetchCursor(
                db,
                sql: """
                    SELECT count(*), max(CASE WHEN kind IN (\(kinds)) THEN json_extract(details, '$.expires') END) FROM
                    (SELECT time, kind, details FROM audit ORDER BY sequence DESC LIMIT ?) WHERE time > ?
                    """, arguments: [count + 1, moment.milliseconds])
            guard let row = try rows.next(), let found = Int(exactly: row[0] as Int64), found <= count else {
                return nil
            }
            let seconds: Double? = row[1]
            return seconds.map(Date.init(timeIntervalSince1970:)) ?? .distantPast
        }
    }
}

extension AuditEvent {
    /// In the order in which `init(_:)` reads them.
    static let columns = "time, trace, kind, issuer, subject, rule, session, token, reason, details"

    init(_ row: Row) throws {
        guard let trace = TraceID(parsing: try row.requiredText(1).string),
            let kind = Kind(rawValue: try row.requiredText(2).string),
            case let name = try row.text(3), let issuer = name.map({ IssuerName(recorded: $0) }) ?? .some(nil)
        else { throw StoreFailure(.unreadable, "read audit records", cause: "an audit record has an unknown form") }
        self.init(
            time: try row.date(0), trace: trace, kind: kind, issuer: issuer, subject: try row.text(4),
            rule: try row.text(5), sessionID: try row.text(6), tokenID: try row.text(7),
            reason: try row.text(8)?.string, details: try row.object(9))
    }
}
