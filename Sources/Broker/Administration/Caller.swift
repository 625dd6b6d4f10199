package import JOSE

/// Who asked for an administrative act, as the audit record names him.
package enum Caller: Sendable, Hashable {
    /// Over the Unix socket, as the kernel knows the peer: the user id it runs as, the one that its session logged in with
    /// (nil where it is not known, as for services), and the process.
    case socket(uid: UInt32, loginUID: UInt32?, pid: Int32)
    /// Over TLS: who the token is for, and which session and rule it comes from.
    case token(subject: ExactString, session: ExactString, rule: ExactString)

    /// One line for records and logs. A subject stands last, since it may hold anything.
    package var text: ExactString {
        switch self {
        case .socket(let uid, let login, let pid):
            ExactString("uid \(uid)\(login.map { ", login uid \($0)" } ?? ""), process \(pid)")
        case .token(let subject, let session, let rule):
            ExactString("session \(session), rule \(rule), subject \(subject)")
        }
    }
}
