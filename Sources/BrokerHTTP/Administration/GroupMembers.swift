import Dispatch
import NIOCore
import Synchronization

/// Who is in a group, by the system's database of users. That may be a directory on the network (nsswitch.conf(5)) and
/// blocks for as long as it likes: it is asked on threads of its own.
///
/// At most four look-ups run at a time, one for each user: whoever asks for the same one meanwhile waits for it too.
/// Nobody waits longer than the time limit. A look-up that takes longer keeps its place until it ends, and nothing else.
final class GroupMembers: Sendable {
    enum Membership: Sendable {
        case member, stranger
        /// The database did not say in time, or is asked too much.
        case unknown
    }

    /// Whether the user is in the group; blocks.
    typealias LookUp = @Sendable (_ uid: UInt32, _ group: UInt32) -> Bool

    static let maximumLookUps = 4
    static let standardTimeLimit: TimeAmount = .seconds(2)

    let group: UInt32
    private let timeLimit: TimeAmount
    private let timers: any EventLoop
    private let isMember: LookUp
    private let queue = DispatchQueue(label: "daypass.group", attributes: .concurrent)
    private let state = Mutex(State())

    /// - Parameter timers: measures the time limit; nothing that blocks runs there.
    init(
        _ group: UInt32, timers: any EventLoop, timeLimit: TimeAmount = standardTimeLimit,
        isMember: @escaping LookUp
    ) {
        self.group = group
        self.timers = timers
        self.timeLimit = timeLimit
        self.isMember = isMember
    }

    /// What the database says now.
    func membership(of uid: UInt32) async -> Membership {
        await withCheckedContinuation { continuation in
            guard let (ticket, isFirst) = state.withLock({ $0.wait(for: uid, continuation) }) else {
                return continuation.resume(returning: .unknown)
            }
            if isFirst { queue.async { self.lookUp(uid) } }
            timers.scheduleTask(in: timeLimit) { self.expire(ticket, uid) }
        }
    }

    /// How many wait for an answer.
    var waitingCount: Int { state.withLock { $0.waiting.values.reduce(0) { $0 + $1.count } } }

    private func lookUp(_ uid: UInt32) {
        let membership: Membership = isMember(uid, group) ? .member : .stranger
        let waiting = state.withLock { $0.waiting.removeValue(forKey: uid) } ?? [:]
        for continuation in waiting.values { continuation.resume(returning: membership) }
    }

    private func expire(_ ticket: UInt64, _ uid: UInt32) {
        let continuation = state.withLock { $0.waiting[uid]?.removeValue(forKey: ticket) }
        continuation?.resume(returning: .unknown)
    }

    private struct State {
        typealias Waiting = CheckedContinuation<Membership, Never>

        /// By user and ticket; a user is there for as long as he is looked up, also when nobody waits any more.
        var waiting: [UInt32: [UInt64: Waiting]] = [:]
        private var lastTicket: UInt64 = 0

        /// - Returns: nil where there is no place.
        mutating func wait(for uid: UInt32, _ continuation: Waiting) -> (ticket: UInt64, isFirst: Bool)? {
            let isFirst = waiting[uid] == nil
            guard !isFirst || waiting.count < maximumLookUps else { return nil }
            lastTicket += 1
            waiting[uid, default: [:]][lastTicket] = continuation
            return (lastTicket, isFirst)
        }
    }
}
