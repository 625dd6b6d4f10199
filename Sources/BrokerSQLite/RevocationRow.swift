import Broker
import GRDB
import GRDBSQLite
import JOSE

/// A row of `revocations`, and the audit record that belongs to it.
struct RevocationRow: Sendable {
    let revocation: Revocation
    let event: AuditRow
    private let caller: [UInt8]

    init(_ recorded: RecordedRevocation) {
        revocation = recorded.revocation
        event = AuditRow(recorded.event)
        caller = recorded.revocation.caller.json.encoded()
    }

    static let insertion = """
        INSERT INTO revocations (sequence, kind, value, reason, blocks, until, created, caller, expires) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (sequence) DO NOTHING
        """

    func bind(_ binder: inout Binder) {
        binder.integer(Int64(revocation.sequence))
        binder.text(revocation.target.kind.rawValue)
        binder.text(revocation.target.value)
        binder.text(revocation.reason)
        binder.integer(revocation.block == nil ? 0 : 1)
        if let until = revocation.block?.until {
            binder.integer(until.milliseconds)
        } else {
            binder.text(nil as String?)
        }
        binder.integer(revocation.created.milliseconds)
        binder.text(utf8: caller)
        binder.integer(revocation.expires.milliseconds)
    }
}

extension Revocation {
    static let selection = """
        SELECT sequence, kind, value, reason, blocks, until, created, caller, expires FROM revocations ORDER BY sequence
        """

    /// - Throws: for anything that is not as it was written: a revocation that is passed over would not be in force.
    init(_ row: Row) throws {
        guard case .int64(let number) = (row[0] as DatabaseValue).storage, let sequence = UInt64(exactly: number),
            case .int64(let blocks) = (row[4] as DatabaseValue).storage,
            let kind = Target.Kind(rawValue: try row.requiredText(1).string),
            let target = Target(kind, try row.text(2)), let caller = Caller(try row.object(7))
        else { throw StoreFailure(.unreadable, "read a revocation", cause: "a revocation has an unknown form") }
        let hasEnd = !(row[5] as DatabaseValue).isNull
        self.init(
            sequence: sequence, target: target, reason: try row.text(3)?.string,
            block: blocks == 0 ? nil : Block(until: hasEnd ? try row.date(5) : nil), created: try row.date(6),
            caller: caller, expires: try row.date(8))
    }
}
