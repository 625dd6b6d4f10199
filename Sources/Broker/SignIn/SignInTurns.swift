import JOSE
import Synchronization

/// One after the other for each session: of those who show its refresh token at once the first turns it, and the provider
/// is asked once, also where that fails. Callable from any thread.
final class SignInTurns: Sendable {
    /// So many wait for their turn with one session; further ones are sent away.
    static let maximumWaiting = 64

    enum Turn: Sendable {
        /// `giveBack` ends it.
        case taken
        /// It could not be decided for who had the turn, and would not be for whoever waited meanwhile.
        case failed(ExchangeOutage)
        case tooMany
    }

    private typealias Waiter = CheckedContinuation<Turn, Never>

    /// Who waits, of each session that has somebody's turn.
    private let waiting = Mutex<[ExactString: [Waiter]]>([:])

    /// Returns when it is the caller's turn, or will not be.
    func take(_ session: ExactString) async -> Turn {
        await withCheckedContinuation { (continuation: Waiter) in
            let turn = waiting.withLock { waiting -> Turn? in
                guard let others = waiting[session] else {
                    waiting[session] = []
                    return .taken
                }
                guard others.count < Self.maximumWaiting else { return .tooMany }
                waiting[session]?.append(continuation)
                return nil
            }
            if let turn { continuation.resume(returning: turn) }
        }
    }

    /// - Parameter outage: what befell who had the turn: then nobody who waits has one.
    func giveBack(_ session: ExactString, failing outage: ExchangeOutage? = nil) {
        let next = waiting.withLock { waiting -> [Waiter] in
            let others = waiting[session] ?? []
            let next = outage == nil ? Array(others.prefix(1)) : others
            waiting[session] = next.isEmpty || outage != nil ? nil : Array(others.dropFirst())
            return next
        }
        for waiter in next { waiter.resume(returning: outage.map { Turn.failed($0) } ?? .taken) }
    }

    /// How many wait behind who has the turn.
    func waitingCount(for session: ExactString) -> Int {
        waiting.withLock { $0[session]?.count ?? 0 }
    }
}
