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
        let last = try await perform("look for sessions") { try SessionNumbers.last($0) }
        var end = min(position ?? .max, last + 1)
        var found: [(session: SessionRecord, number: Int64)] = []
        // One more than is asked for says whether there is a next part.
        while end > 0, found.count <= limit, !Task.isCancelled {
            let (before, room) = (end, limit + 1 - found.count)
            typealias Part = (sessions: [(session: SessionRecord, number: Int64)], reached: Int64)
            let part = try await perform("look for sessions") { db -> Part in
                guard let last = try SessionNumbers.last(before: before, db) else { return ([], 0) }
                let (start, stop) = (max(0, last + 1 - Self.searchStep), last + 1)
                let rows = try Row.fetchCursor(
                    db.cachedStatement(sql: SessionRow.list(condition)),
                    arguments: [start, stop, now.milliseconds] + condition.arguments)
                var sessions: [(session: SessionRecord, number: Int64)] = []
                while sessions.count < room, let row = try rows.next() {
                    let session = try SessionRecord(row)
                    if condition.matches(session) {
                        sessions.append((session, try row.integer(SessionRow.numberColumn)))
                    }
                }
                return (sessions, start)
            }
            found += part.sessions
            end = part.reached
        }
        let part = found.prefix(limit)
        return SessionPart(part.map(\.session), next: found.count > limit ? part.last?.number : nil)
    }
}

/// The numbers of the rows of `sessions`: of those alone that SQLite gives before it runs out of them.
private enum SessionNumbers {
    private static let maximum: Int64 = 1 << 62

    /// The highest; 0 where there is none.
    static func last(_ db: Database) throws -> Int64 { try last(before: .max, db) ?? 0 }

    /// The highest below `number`; nil where there is none.
    static func last(before number: Int64, _ db: Database) throws -> Int64? {
        try Int64.fetchOne(
            db.cachedStatement(
                sql: "SELECT rowid FROM sessions WHERE rowid < ? AND rowid >= 1 ORDER BY rowid DESC LIMIT 1"),
            arguments: [min(number, maximum)])
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

    /// The term of the sign-in, which SQLite alone decides.
    fileprivate var signInTerm: String {
        switch signIn {
        case nil: ""
        case .any: " AND EXISTS (SELECT 1 FROM sign_ins WHERE sign_ins.session = sessions.id)"
        case .email:
            """
             AND EXISTS (SELECT 1 FROM sign_ins WHERE sign_ins.session = sessions.id AND CAST(email AS BLOB) = ?)
            """
        }
    }

    fileprivate var arguments: StatementArguments {
        var values = terms.map { Data($0.argument) }
        if case .email(let email) = signIn { values.append(Data(email.utf8)) }
        return StatementArguments(values)
    }
}

extension SessionRow {
    fileprivate static let numberColumn = 11

    /// Those of a range of rows that end after a moment, the last one first.
    static func list(_ condition: SessionCondition) -> String {
        let terms = condition.terms.map { " AND \($0.sql)" }.joined()
        return """
            SELECT \(columns), rowid FROM sessions WHERE rowid >= ? AND rowid < ? AND "end" > ?\(terms)\(condition.signInTerm) \
            ORDER BY rowid DESC
            """
    }
}
