/// Why a command got no answer, or not the one that it wanted.
package enum ClientFailure: Error, Sendable, Hashable {
    /// Nobody answers there; where, and why.
    case unreachable(String)
    /// The file of the authorities that are to be trusted cannot be used; which, and why.
    case unusableAuthorities(String)
    /// This user, or this token, may not.
    case notPermitted(String)
    /// The broker refused, or could not: its words, and its trace id.
    case refused(status: Int, message: String, trace: String?)
    /// In force, and not yet recorded: the numbers of the revocations, and the whole answer.
    case notDurable([Int], message: String, answer: JSON)
    /// What came is no answer of a broker.
    case unreadable(String)
}
