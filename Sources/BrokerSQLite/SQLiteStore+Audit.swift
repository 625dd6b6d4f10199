package import Broker
package import FoundationEssentials
import GRDB
import JOSE

extension SQLiteStore: AuditReader {
    package func auditEvents(trace: TraceID) async throws(StoreFailure) -> [AuditEvent] {
        try await perform("read audit records") { db in
            let statement = try db.cachedStatement(
                sql: """
                    SELECT \(AuditRow.columns) FROM audit WHERE trace = ? ORDER BY sequence
                    """)
            return try Row.fetchCursor(statement, arguments: [trace.description]).mapToArray {
                try AuditRecord($0).event
            }
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
            guard let row = try rows.next(), let found = Int(exactly: try row.integer(0)), found <= count else {
                return nil
            }
            let seconds: Double? = row[1]
            return seconds.map(Date.init(timeIntervalSince1970:)) ?? .distantPast
        }
    }
}

extension AuditRow {
    /// As `AuditRecord.init` reads them.
    static let columns = "sequence, time, trace, kind, issuer, subject, rule, session, token, reason, details, hash"
}

extension AuditRecord {
    init(_ row: Row) throws {
        let sequence = try row.integer(0)
        do {
            guard let trace = TraceID(parsing: try row.requiredText(2).string),
                let kind = AuditEvent.Kind(rawValue: try row.requiredText(3).string),
                case let name = try row.text(4), let issuer = name.map({ IssuerName(recorded: $0) }) ?? .some(nil)
            else { throw Self.unreadable(sequence, "it has an unknown form") }
            let event = AuditEvent(
                time: try row.date(1), trace: trace, kind: kind, issuer: issuer, subject: try row.text(5),
                rule: try row.text(6), sessionID: try row.text(7), tokenID: try row.text(8),
                reason: try row.text(9)?.string, details: try row.object(10))
            self.init(sequence: sequence, event: event, hash: row.bytes(11))
        } catch let failure as StoreFailure {
            throw Self.unreadable(sequence, failure.cause)
        }
    }

    private static func unreadable(_ sequence: Int64, _ cause: String) -> StoreFailure {
        StoreFailure(.unreadable, "read audit records", cause: "the audit record \(sequence): \(cause)")
    }
}
