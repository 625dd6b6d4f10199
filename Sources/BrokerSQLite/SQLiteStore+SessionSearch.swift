package import Broker
package import FoundationEssentials
import GRDB
import JOSE

extension SQLiteStore: SessionSearch {
    /// So many rows are looked at in one go: recording gets its turn in between.
    private static let searchStep: Int64 = 20_000

    package func sessions(
        _ condition: SessionCondition, at now: Date, before position: Int64?, limit: Int
    ) async throws(StoreFailure) -> SessionPart {
        let last = try await perform("look for sessions") { db in
            try Int64.fetchOne(db, sql: "SELECT max(rowid) FROM sessions") ?? 0
        }
        var end = min(position ?? .max, last + 1)
        var found: [(session: SessionRecord, number: Int64)] = []
        // One more than is asked for says whether there is a next part.
        while end > 0, found.count <= limit, !Task.isCancelled {
            let (start, stop, room) = (max(0, end - Self.searchStep), end, limit + 1 - found.count)
            found += try await perform("look for sessions") { db in
                let rows = try Row.fetchCursor(
                    db.cachedStatement(sql: SessionRow.list(condition)),
                    arguments: [start, stop, now.milliseconds] + condition.arguments)
                var sessions: [(SessionRecord, Int64)] = []
                while sessions.count < room, let row = try rows.next() {
                    let session = try SessionRecord(row)
                    if condition.matches(session) { sessions.append((session, row[SessionRow.numberColumn])) }
                }
                return sessions
            }
            end = start
        }
        let part = found.prefix(limit)
        return SessionPart(part.map(\.session), next: found.count > limit ? part.last?.number : nil)
    }
}

extension SessionCondition {
    /// What SQLite can tell of it, byte for byte: more rows than it names, none of them fewer.
    fileprivate var terms: [(sql: String, argument: [UInt8])] {
        var terms: [(String, [UInt8])] = []
        for (column, value) in [("subject", subject), ("rule", rule), ("issuer", issuer)] {
            if let value { terms.append(("CAST(\(column) AS BLOB) = ?", Array(value.utf8))) }
        }
        if let ancestor { terms.append(("instr(CAST(lineage AS BLOB), ?) > 0", Array(ancestor.utf8))) }
        if let needle = claim?.needle, !needle.isEmpty {
            terms.append(("instr(CAST(claims AS BLOB), ?) > 0", needle))
        }
        return terms
    }

    fileprivate var arguments: StatementArguments {
        StatementArguments(terms.map { Data($0.argument) })
    }
}

extension SessionRow {
    fileprivate static let numberColumn = 11

    /// Those of a range of rows that end after a moment, the last one first.
    static func list(_ condition: SessionCondition) -> String {
        let terms = condition.terms.map { " AND \($0.sql)" }.joined()
        return """
            SELECT \(columns), rowid FROM sessions WHERE rowid >= ? AND rowid < ? AND "end" > ?\(terms) \
            ORDER BY rowid DESC
            """
    }
}
