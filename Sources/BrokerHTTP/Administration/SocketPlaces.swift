import Broker
import Glibc
import Logging
import NIOCore
import Synchronization

/// The connections of the administration socket: 64, of which the members of the group have 40 together and 10 each, and
/// root has 8 that nobody else gets. Nobody whom the group's members let in can keep root or the broker's own user from
/// revoking. Callable from any thread.
final class SocketPlaces: Sendable {
    static let capacity = 64
    static let ofRootAlone = 8
    static let ofMembers = 40
    static let ofEachMember = 10

    private let ownUID: UInt32
    private let clock: any BrokerClock
    private let logger: Logger
    private let lines = LineLimit(perSecond: 1)
    /// By user.
    private let taken = Mutex<[UInt32: Int]>([:])

    init(ownUID: UInt32 = geteuid(), clock: any BrokerClock, logger: Logger) {
        self.ownUID = ownUID
        self.clock = clock
        self.logger = logger
    }

    /// Counts a connection until it is closed, or closes it.
    /// - Returns: whether it stays open.
    func admit(_ channel: any Channel, _ peer: SocketPeer) -> Bool {
        guard take(for: peer.uid) else {
            channel.close(promise: nil)
            note(peer)
            return false
        }
        channel.closeFuture.whenComplete { _ in self.giveBack(of: peer.uid) }
        return true
    }

    /// - Returns: whether there was a place; it is to be given back then, once.
    func take(for uid: UInt32) -> Bool {
        taken.withLock { taken in
            guard isFree(taken, for: uid) else { return false }
            taken[uid, default: 0] += 1
            return true
        }
    }

    func giveBack(of uid: UInt32) {
        taken.withLock { taken in
            guard let count = taken[uid] else { return }
            taken[uid] = count > 1 ? count - 1 : nil
        }
    }

    private func isFree(_ taken: [UInt32: Int], for uid: UInt32) -> Bool {
        func count(where counts: (UInt32) -> Bool) -> Int {
            taken.reduce(0) { counts($1.key) ? $0 + $1.value : $0 }
        }
        guard count(where: { _ in true }) < Self.capacity else { return false }
        guard uid != 0 else { return true }
        guard count(where: { $0 != 0 }) < Self.capacity - Self.ofRootAlone else { return false }
        guard uid != ownUID else { return true }
        return taken[uid, default: 0] < Self.ofEachMember
            && count(where: { $0 != 0 && $0 != ownUID }) < Self.ofMembers
    }

    private func note(_ peer: SocketPeer) {
        guard let omitted = lines.admit(at: clock.uptime) else { return }
        logger.warning(
            "administration refused",
            metadata: ["reason": "connections", "caller": "\(peer.caller.text)", "omitted": "\(omitted)"])
    }
}
