import Broker
import FoundationEssentials
import GRDB
import JOSE

/// Counts how often subject tokens were presented, within the transaction that records what came of it: two who present
/// one token at the same moment are counted one after the other.
struct UseCounter {
    enum Count {
        /// The session has to be inserted.
        case first
        /// It is there already.
        case further
        /// Nothing was counted.
        case refused(UseOutcome)
    }

    private let exists: Statement
    private let select: Statement
    private let insert: Statement
    private let update: Statement
    private let db: Database

    init(_ db: Database) throws {
        exists = try db.cachedStatement(sql: "SELECT 1 FROM uses WHERE expires = ? AND token = ?")
        select = try db.cachedStatement(
            sql: "SELECT joining, session, count FROM uses WHERE expires = ? AND token = ?")
        insert = try db.cachedStatement(
            sql: "INSERT INTO uses (expires, token, joining, session, count) VALUES (?, ?, ?, ?, 1)")
        update = try db.cachedStatement(
            sql: "UPDATE uses SET count = count + 1 WHERE expires = ? AND token = ? AND joining = ?")
        self.db = db
    }

    func count(_ use: SubjectTokenUse, for session: SessionRecord) throws -> Count {
        // Nearly every token is presented once, and this is all that it takes then.
        guard try exists.run(binding: { Self.bind(use, &$0) }) else {
            try insert(use, session)
            return .first
        }
        let key: StatementArguments = [use.expires.milliseconds, Data(use.key)]
        let joining = use.joining(session)
        var total: Int64 = 0
        var joined: ExactString?
        let rows = try Row.fetchCursor(select, arguments: key)
        while let row = try rows.next() {
            let (sum, isMore) = total.addingReportingOverflow(max(0, try row.integer(2)))
            total = isMore ? .max : sum
            if try row.requiredText(0) == joining { joined = try row.requiredText(1) }
        }
        guard total < use.maximumUses else { return .refused(.exhausted) }
        guard let joined else {
            try insert(use, session)
            return .first
        }
        guard joined == session.id else {
            guard let first = try SessionRow.fetch(joined, db) else {
                throw StoreFailure(
                    .unreadable, "count a use", cause: "a session that a subject token opened is missing")
            }
            return .refused(.joins(first))
        }
        try update.run { binder in
            Self.bind(use, &binder)
            binder.text(joining)
        }
        return .further
    }

    private func insert(_ use: SubjectTokenUse, _ session: SessionRecord) throws {
        try insert.run { binder in
            Self.bind(use, &binder)
            binder.text(use.joining(session))
            binder.text(session.id)
        }
    }

    private static func bind(_ use: SubjectTokenUse, _ binder: inout Binder) {
        binder.integer(use.expires.milliseconds)
        binder.blob(use.key)
    }
}
