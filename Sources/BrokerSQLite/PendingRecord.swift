import Broker
import FoundationEssentials
import GRDB
import GRDBSQLite
import JOSE
import SPIFFE

/// What waits to be written, encoded as far as the caller's own thread can do it.
enum PendingRecord: Sendable {
    case exchange(SessionRow, AuditRow)
    /// An exchange that uses up a presentation of its subject token.
    case use(SubjectTokenUse, SessionRow, AuditRow)
    /// The session with its sign-in and the digest of its first refresh token.
    case signIn(SessionRow, SignInRow, AuditRow)
    /// A further token of a session, and the next refresh token.
    case rotation(SessionRecord, SignInRow, AuditRow)
    /// A further token of a session.
    case renewal(SessionRecord, AuditRow)
    case event(AuditRow)
    /// They go first, and with nothing else.
    case revocations([RevocationRow])
    /// Nothing but a try whether the disk takes it.
    case probe

    /// Whose token goes out once it is recorded; nil for what grants nothing.
    var granted: SessionRecord? {
        switch self {
        case .exchange(let session, _), .use(_, let session, _), .signIn(let session, _, _): session.session
        case .renewal(let session, _), .rotation(let session, _, _): session
        case .event, .revocations, .probe: nil
        }
    }

    var isRevocation: Bool {
        if case .revocations = self { true } else { false }
    }
}

/// A row of `sessions`.
struct SessionRow: Sendable {
    let session: SessionRecord
    private let lineage: String
    private let actor: [UInt8]?
    private let claims: [UInt8]

    init(_ session: SessionRecord) {
        self.session = session
        // Ids are base64url: none has a space in it.
        lineage = session.lineage.map(\.string).joined(separator: " ")
        actor = session.actor?.encoded()
        claims = session.claims.encoded()
    }

    static let insertion = """
        INSERT INTO sessions (id, issuer, subject, rule, start, "end", claims, lineage, actor, binding, rev) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """

    func bind(_ binder: inout Binder) {
        binder.text(session.id)
        binder.text(session.issuer.text)
        binder.text(session.subject)
        binder.text(session.rule)
        binder.integer(session.start.milliseconds)
        binder.integer(session.end.milliseconds)
        binder.text(utf8: claims)
        binder.text(lineage)
        if let actor { binder.text(utf8: actor) } else { binder.text(nil as String?) }
        if let binding = session.binding { binder.blob(binding.bytes) } else { binder.text(nil as String?) }
        binder.integer(Int64(session.revision))
    }
}

/// A row of `audit`, before it has its number and its hash: see `AuditAppender.append`.
struct AuditRow: Sendable {
    private let event: AuditEvent
    private let details: [UInt8]
    /// As the chain covers them.
    let columns: AuditColumns

    init(_ event: AuditEvent) {
        self.event = event
        details = event.details.encoded()
        columns = AuditColumns(event, details: details)
    }

    /// Time to details.
    func bind(_ binder: inout Binder) {
        binder.integer(event.time.auditMilliseconds)
        binder.text(event.trace.description)
        binder.text(event.kind.rawValue)
        binder.text(event.issuer?.text)
        binder.text(event.subject)
        binder.text(event.rule)
        binder.text(event.sessionID)
        binder.text(event.tokenID)
        binder.text(event.reason)
        binder.text(utf8: details)
    }
}

extension Statement {
    /// Executes it once, with what `bind` binds.
    ///
    /// By SQLite itself: nothing observes this connection, and what GRDB does around a statement costs as much as the row.
    /// - Returns: whether it had a row.
    @discardableResult
    func run(binding bind: (inout Binder) -> Void = { _ in }) throws -> Bool {
        defer { sqlite3_reset(sqliteStatement) }
        var binder = Binder(sqliteStatement)
        bind(&binder)
        guard binder.code == SQLITE_OK else { throw DatabaseError(resultCode: ResultCode(rawValue: binder.code)) }
        let code = sqlite3_step(sqliteStatement)
        guard code == SQLITE_DONE || code == SQLITE_ROW else {
            throw DatabaseError(
                resultCode: ResultCode(rawValue: code),
                message: sqlite3_errmsg(sqlite3_db_handle(sqliteStatement)).map { String(cString: $0) })
        }
        return code == SQLITE_ROW
    }
}

extension Date {
    /// Since 1970, rounded; the nearest that fits where it is out of range.
    var milliseconds: Int64 { auditMilliseconds }

    init(milliseconds: Int64) {
        self.init(timeIntervalSince1970: Double(milliseconds) / 1000)
    }
}
