import JOSE
import Synchronization

/// When the provider first answered the renewal of a session with 400 and nothing else. One such answer may be that of a
/// proxy in front of it; the same one again, some time later, is how glewlwyd refuses. Callable from any thread; lost at a
/// restart.
final class WordlessRefusals: Sendable {
    static let maximum = 4096
    /// So far apart two have to be.
    static let distance: Duration = .seconds(15)
    /// One that is older says nothing any more.
    static let life: Duration = .seconds(3600)

    /// By the monotonic clock.
    private let first = Mutex<[ExactString: Duration]>([:])

    /// Notes that the provider answered so.
    /// - Returns: whether it is a refusal by now. Never for a session that finds no room.
    func isRefusal(of session: ExactString, at uptime: Duration) -> Bool {
        first.withLock { first in
            if let began = first[session], uptime - began < Self.life { return uptime - began >= Self.distance }
            if first.count >= Self.maximum { first = first.filter { uptime - $0.value < Self.life } }
            if first.count < Self.maximum { first[session] = uptime }
            return false
        }
    }

    /// The provider took the token, or refused it in words.
    func forget(_ session: ExactString) {
        first.withLock { $0[session] = nil }
    }
}
