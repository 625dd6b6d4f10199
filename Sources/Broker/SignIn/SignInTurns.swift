import JOSE
import Synchronization

/// One after the other for each session: of those who show its refresh token at once the first turns it, and the provider
/// is asked once. As many wait as requests may be under way. Callable from any thread.
final class SignInTurns: Sendable {
    /// Who waits, of each session that has somebody's turn.
    private let waiting = Mutex<[ExactString: [CheckedContinuation<Void, Never>]]>([:])

    /// Returns when it is the caller's turn; `giveBack` ends it.
    func take(_ session: ExactString) async {
        await withCheckedContinuation { continuation in
            let isFree = waiting.withLock { waiting in
                guard waiting[session] != nil else {
                    waiting[session] = []
                    return true
                }
                waiting[session]?.append(continuation)
                return false
            }
            if isFree { continuation.resume() }
        }
    }

    func giveBack(_ session: ExactString) {
        let next = waiting.withLock { waiting -> CheckedContinuation<Void, Never>? in
            guard let first = waiting[session]?.first else {
                waiting[session] = nil
                return nil
            }
            waiting[session]?.removeFirst()
            return first
        }
        next?.resume()
    }
}
