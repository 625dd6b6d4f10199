import FoundationEssentials
import JOSE

extension Revocations {
    /// What is in force and what of it waits to be recorded; read and changed under one lock.
    struct State {
        private(set) var live: [Revocation] = []
        /// In memory alone, oldest first.
        var waiting: [RecordedRevocation] = []
        var waitingSince: Date?
        /// The numbers of those that are being recorded.
        var underWay: Set<UInt64> = []
        private(set) var prunedCount = 0
        private(set) var liftCount = 0
        private(set) var changeCount: UInt64 = 0
        private(set) var observers: [Int: AsyncStream<Void>.Continuation] = [:]
        private var lastObserver = 0
        /// The number up to which each was told.
        var followers: [Int: UInt64] = [:]
        private var lastFollower = 0
        private var ofHolders = HolderPlaces()
        /// The keys that are revoked, and whose own records do not say so yet.
        var unrecordedKeys: Set<ExactString> = []

        /// Whether a restart keeps all of it.
        /// - Parameter pending: `self.pending`, which is the same for many.
        func isDurable(_ revocation: Revocation, _ pending: Set<UInt64>) -> Bool {
            if case .key(let keyID) = revocation.target, unrecordedKeys.contains(keyID) { return false }
            return !pending.contains(revocation.sequence)
        }

        /// The numbers of those that a restart may lose.
        var pending: Set<UInt64> { underWay.union(waiting.map(\.revocation.sequence)) }

        mutating func restore(_ live: [Revocation]) {
            self.live = live
            ofHolders = HolderPlaces(live)
        }

        /// What is to be revoked of what is asked for.
        func admitted(
            _ requests: [RevocationRequest], by caller: Caller
        ) throws(RevocationRefusal) -> [RevocationRequest] {
            let count = waiting.count + underWay.count
            guard live.count + requests.count <= maximumLive, count + requests.count <= maximumWaiting else {
                throw .full
            }
            guard case .holder(let subject, let session, let root, _) = caller else { return requests }
            guard count < maximumWaiting / 2 else { throw .full }
            switch ofHolders.place(of: subject, session, below: root) {
            case .none: throw .full
            case .token: return requests
            case .session: return [RevocationRequest(ofHolder: .session(session))]
            }
        }

        mutating func applied(_ revocations: [Revocation]) {
            live += revocations
            underWay.formUnion(revocations.map(\.sequence))
            for revocation in revocations { ofHolders.take(revocation) }
            changed()
        }

        private mutating func changed() {
            changeCount += 1
            for observer in observers.values { observer.yield() }
        }

        mutating func wait(_ recorded: [RecordedRevocation], since now: Date) {
            underWay.subtract(recorded.map(\.revocation.sequence))
            waiting += recorded
            waitingSince = waitingSince ?? now
        }

        mutating func observe(_ continuation: AsyncStream<Void>.Continuation) -> Int {
            lastObserver += 1
            observers[lastObserver] = continuation
            return lastObserver
        }

        mutating func follow() -> Int {
            lastFollower += 1
            followers[lastFollower] = 0
            return lastFollower
        }

        mutating func forget(_ observer: Int) {
            observers[observer] = nil
        }

        /// Those whose last token had expired before `limit`, and whose block has ended. Of a target's blocks without end the
        /// last one that a restart keeps stays.
        func outlived(at limit: Date) -> Set<UInt64> {
            let pending = pending
            var lastEndless: [Revocation.Target: UInt64] = [:]
            for revocation in live where revocation.isBlockedWithoutEnd && !pending.contains(revocation.sequence) {
                lastEndless[revocation.target] = revocation.sequence
            }
            return Set(
                live.lazy.filter { revocation in
                    revocation.expires < limit && !pending.contains(revocation.sequence)
                        && !(revocation.isBlockedWithoutEnd && lastEndless[revocation.target] == revocation.sequence)
                }.map(\.sequence))
        }

        /// The longest block of a target, and the numbers of all of its revocations that block.
        func blocks(
            of target: Revocation.Target, at now: Date
        ) throws(BlockLiftRefusal) -> (longest: Revocation.Block, sequences: [UInt64]) {
            let blocking = live.filter { $0.target == target && $0.block != nil }
            let longest = blocking.compactMap(\.block).reduce(nil as Revocation.Block?) { $1.extended(by: $0) }
            guard let longest, longest.holds(at: now) else { throw .notBlocked(target) }
            let sequences = blocking.map(\.sequence)
            guard pending.isDisjoint(with: sequences) else { throw .notDurable(target) }
            return (longest, sequences)
        }

        mutating func lift(_ sequences: Set<UInt64>) {
            for index in live.indices where sequences.contains(live[index].sequence) {
                live[index] = live[index].withoutBlock
            }
            liftCount += 1
            changed()
        }

        mutating func remove(_ old: Set<UInt64>) {
            live.removeAll { old.contains($0.sequence) }
            ofHolders = HolderPlaces(live)
            prunedCount += old.count
            changed()
        }
    }
}
