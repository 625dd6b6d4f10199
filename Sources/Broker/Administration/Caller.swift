package import JOSE

/// Who asks for a change, for the audit record.
package enum Caller: Sendable, Hashable, CustomStringConvertible {
    /// A process on this machine, by the credentials that the kernel has of it.
    case socket(uid: UInt32, loginUID: UInt32?, pid: Int32)
    /// The holder of a gateway token for the broker itself.
    case token(subject: ExactString, session: ExactString, rule: ExactString)

    package var description: String {
        switch self {
        case .socket(let uid, let loginUID, let pid):
            "uid \(uid)\(loginUID.map { ", login uid \($0)" } ?? ""), process \(pid)"
        case .token(let subject, let session, let rule): "\(subject), session \(session), rule \(rule)"
        }
    }
}
