package import JOSE

/// Who asks for an administrative act, as the audit record names it.
package enum Caller: Sendable, Hashable {
    /// Over the Unix socket, as the kernel knows the peer: the user id it runs as, the one that its session logged in with
    /// (nil where it is not known, as for services), and the process.
    case socket(uid: UInt32, loginUID: UInt32?, pid: Int32)
    /// The holder of a gateway token: who it is for, and which session and rule it comes from.
    case token(subject: ExactString, session: ExactString, rule: ExactString)
    /// Whoever gave back a token of its own, which proves nothing but that: who it was for, of which session and rule, and
    /// from which session that one descends, or itself.
    case holder(subject: ExactString, session: ExactString, root: ExactString, rule: ExactString)
    /// Whoever signed in at the company's provider and ends sessions of his own on the broker's page.
    case person(subject: ExactString)
    /// Whoever may run the broker's own program beside it, on the store: the user id, and the one that its session logged
    /// in with.
    case command(uid: UInt32, loginUID: UInt32?)
    /// Whoever may send the broker a signal.
    case signal
    /// What the configuration says is to be done in time.
    case schedule
    /// The broker itself.
    case daemon

    /// One line for records and logs. A subject stands last, since it may hold anything.
    package var text: ExactString {
        switch self {
        case .socket(let uid, let login, let pid):
            ExactString("uid \(uid)\(Self.text(login)), process \(pid)")
        case .token(let subject, let session, let rule):
            ExactString("session \(session), rule \(rule), subject \(subject)")
        case .holder(let subject, let session, _, let rule):
            ExactString("the holder, session \(session), rule \(rule), subject \(subject)")
        case .person(let subject): ExactString("the person, subject \(subject)")
        case .command(let uid, let login): ExactString("the command line, uid \(uid)\(Self.text(login))")
        case .signal: "a signal"
        case .schedule: "the schedule"
        case .daemon: "the broker"
        }
    }

    private static func text(_ loginUID: UInt32?) -> String { loginUID.map { ", login uid \($0)" } ?? "" }

    /// As audit records have it under `caller`.
    package var json: JSONObject {
        switch self {
        case .socket(let uid, let loginUID, let pid):
            var json: JSONObject = ["by": "socket", "uid": .number(Double(uid)), "pid": .number(Double(pid))]
            if let loginUID { _ = json.append("login_uid", .number(Double(loginUID))) }
            return json
        case .token(let subject, let session, let rule):
            return ["by": "token", "sub": .string(subject), "sid": .string(session), "rule": .string(rule)]
        case .holder(let subject, let session, let root, let rule):
            var json: JSONObject = [
                "by": "holder", "sub": .string(subject), "sid": .string(session), "rule": .string(rule),
            ]
            if root != session { _ = json.append("root", .string(root)) }
            return json
        case .person(let subject): return ["by": "person", "sub": .string(subject)]
        case .command(let uid, let loginUID):
            var json: JSONObject = ["by": "command", "uid": .number(Double(uid))]
            if let loginUID { _ = json.append("login_uid", .number(Double(loginUID))) }
            return json
        case .signal: return ["by": "signal"]
        case .schedule: return ["by": "schedule"]
        case .daemon: return ["by": "daemon"]
        }
    }

    /// - Returns: nil where it is not what `json` writes.
    package init?(_ json: JSONObject) {
        func integer<Number: BinaryInteger>(_ name: ExactString) -> Number? {
            json[name]?.number.flatMap { Number(exactly: $0) }
        }
        switch json["by"]?.string {
        case "socket":
            guard let uid: UInt32 = integer("uid"), let pid: Int32 = integer("pid") else { return nil }
            self = .socket(uid: uid, loginUID: integer("login_uid"), pid: pid)
        case "token", "holder":
            guard let subject = json["sub"]?.string, let session = json["sid"]?.string, let rule = json["rule"]?.string
            else { return nil }
            self =
                json["by"]?.string == "token"
                ? .token(subject: subject, session: session, rule: rule)
                : .holder(subject: subject, session: session, root: json["root"]?.string ?? session, rule: rule)
        case "person":
            guard let subject = json["sub"]?.string else { return nil }
            self = .person(subject: subject)
        case "command":
            guard let uid: UInt32 = integer("uid") else { return nil }
            self = .command(uid: uid, loginUID: integer("login_uid"))
        case "signal": self = .signal
        case "schedule": self = .schedule
        case "daemon": self = .daemon
        default: return nil
        }
    }
}
