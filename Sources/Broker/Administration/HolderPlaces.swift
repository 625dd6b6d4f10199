import JOSE

/// Who takes how many of the places for what holders gave back.
///
/// Whoever has one token can have as many as it likes, and sessions below its own too, and give each of them back. What it
/// takes is its own share: no other subject's, no other session's of the subject, and no administrator's place.
struct HolderPlaces: Sendable {
    private var count = 0
    private var bySubject: [ExactString: Int] = [:]
    private var bySession: [ExactString: Int] = [:]
    /// By the first session, what those below it take.
    private var belowSession: [ExactString: Int] = [:]

    init(_ revocations: [Revocation] = []) {
        for revocation in revocations { take(revocation) }
    }

    enum Place {
        case none
        case token
        /// The next one takes its session with it.
        case session
    }

    /// - Parameter root: the session from which that one descends, or itself. It has its own places, so that whoever was
    ///   handed a token cannot take them.
    func place(of subject: ExactString, _ session: ExactString, below root: ExactString) -> Place {
        guard count < Revocations.maximumOfHolders, bySubject[subject, default: 0] < Revocations.maximumOfHolder,
            session == root || belowSession[root, default: 0] < Revocations.maximumBelowSession
        else { return .none }
        return bySession[session, default: 0] < Revocations.maximumOfSession ? .token : .session
    }

    /// Counts a revocation that a holder asked for, and passes over any other.
    mutating func take(_ revocation: Revocation) {
        guard case .holder(let subject, let session, let root, _) = revocation.caller else { return }
        count += 1
        bySubject[subject, default: 0] += 1
        bySession[session, default: 0] += 1
        if session != root { belowSession[root, default: 0] += 1 }
    }
}
