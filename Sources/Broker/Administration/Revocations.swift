// The control path of revocations: a number, in force in this process, durable with its audit record, and only then the
// answer. What cannot be made durable stays in force and is tried again until it is.
package import FoundationEssentials
package import JOSE
package import Logging
import Synchronization

/// Revokes, and knows all that is revoked. Callable from any thread.
package final class Revocations: Sendable {
    /// So many may wait to become durable, half of them at their holders' wish; more are refused.
    package static let maximumWaiting = 10_000
    /// So many may be in force; more are refused.
    package static let maximumLive = 1_000_000
    /// Of these so many may be what holders gave back.
    package static let maximumOfHolders = 100_000
    /// Of these so many may be of one subject.
    package static let maximumOfHolder = maximumOfHolders / 10
    /// When so many tokens of a session were given back one by one, the next takes the session with it. In a day a client
    /// that renews every 5 minutes gives back 288.
    package static let maximumOfSession = 300
    /// So many may be of all the sessions together that descend from one.
    package static let maximumBelowSession = 1000
    /// So many sessions may be revoked by one condition.
    package static let maximumSessions = 10_000
    private static let retryBatch = 500
    private static let searchBatch = 1000

    /// What numbers of other processes are told apart by: one that was lost with its process may be given out again.
    private let instance = TraceID().description
    private let published: StateHolder
    private let store: any RevocationStore & SessionSearch
    private let clock: any BrokerClock
    private let logger: Logger
    private let state = Mutex(State())

    package init(
        _ store: any RevocationStore & SessionSearch, publishedIn published: StateHolder, clock: any BrokerClock,
        logger: Logger
    ) {
        self.published = published
        self.store = store
        self.clock = clock
        self.logger = logger
    }

    /// Puts in force what the store holds. To be called once, before anything is served.
    package func restore() async throws(StoreFailure) {
        let live = try await store.revocations()
        let highest = try await store.highestRevocation()
        state.withLock { state in
            state.restore(live)
            let set = RevocationSet(live, highest: highest)
            published.update { $0.revocations = set }
        }
    }

    /// Revokes. On return it is in force for every verdict and exchange that begins, and nothing that was checked before it
    /// is recorded as granted; whether it is durable the outcome says.
    /// - Throws: where nothing was revoked.
    package func revoke(
        _ request: RevocationRequest, by caller: Caller, trace: TraceID = TraceID()
    ) async throws(RevocationRefusal) -> RevocationOutcome {
        try await revoke([request], by: caller, trace: trace)
    }

    /// Revokes a token for its holder, or its session where too many of it are revoked one by one. It may take its own
    /// session with it, and nobody else's: not one above, whose holder may have handed it the token, nor all of its
    /// subject's.
    func giveBack(
        _ claims: GatewayClaims, trace: TraceID
    ) async throws(RevocationRefusal) -> RevocationOutcome {
        let holder = Caller.holder(
            subject: claims.subject, session: claims.sessionID, root: claims.lineage[0], rule: claims.rule)
        return try await revoke([RevocationRequest(ofHolder: .token(claims.tokenID))], by: holder, trace: trace)
    }

    /// Revokes all of them in one go: all or none is in force, all or none is durable.
    package func revoke(
        _ requests: [RevocationRequest], by caller: Caller, trace: TraceID = TraceID()
    ) async throws(RevocationRefusal) -> RevocationOutcome {
        let recorded = try apply(requests, by: caller, trace)
        guard !recorded.isEmpty else { return RevocationOutcome(revocations: [], isDurable: true) }
        let revocations = recorded.map(\.revocation)
        do {
            try await store.record(recorded)
            state.withLock { $0.underWay.subtract(revocations.map(\.sequence)) }
            return RevocationOutcome(revocations: revocations, isDurable: true)
        } catch {
            let now = clock.now
            state.withLock { $0.wait(recorded, since: now) }
            logger.error(
                "a revocation is in force and not yet durable",
                metadata: [
                    "sequence": "\(revocations[0].sequence)", "count": "\(recorded.count)", "failure": "\(error)",
                ])
            return RevocationOutcome(revocations: revocations, isDurable: false)
        }
    }

    /// The longest block of a target that is in force; nil where it is not blocked by itself.
    package func block(of target: Revocation.Target) -> Revocation.Block? {
        let now = clock.now
        return published.current.revocations.block(of: target).flatMap { $0.holds(at: now) ? $0 : nil }
    }

    /// Ends all blocks of what the request names: durable first, with its audit record, and only then in force. What they
    /// killed stays dead, and what blocks by another target still does.
    /// - Throws: where everything stays as it was. After a failure of the store a restart may find the block lifted.
    package func lift(
        _ request: RevocationRequest, by caller: Caller, trace: TraceID = TraceID()
    ) async throws(BlockLiftRefusal) -> LiftedBlock {
        let (target, now) = (request.target, clock.now)
        let (block, sequences) = try state.withLock { state throws(BlockLiftRefusal) in
            try state.blocks(of: target, at: now)
        }
        let event = AuditEvent(
            lifting: block, of: target, sequences, reason: request.reason, by: caller, at: now, trace)
        do {
            try await store.lift(blocksOf: sequences, event)
        } catch {
            throw .store(error)
        }
        state.withLock { state in
            state.lift(Set(sequences))
            publish(state)
        }
        logger.notice(
            "a block was lifted", metadata: ["kind": "\(target.kind.rawValue)", "trace": "\(trace)"])
        return LiftedBlock(block: block, sequences: sequences)
    }

    /// The sessions that a condition names and that live, oldest first; of more than 10,000 the last 10,001.
    package func preview(where condition: ClaimCondition) async throws(StoreFailure) -> [SessionRecord] {
        let now = clock.now
        var (found, position) = ([SessionRecord](), Int64?.none)
        repeat {
            let part = try await store.sessions(
                SessionCondition(claim: condition), at: now, before: position, limit: Self.searchBatch)
            // It ends early then, and what was found is not all.
            guard !Task.isCancelled else {
                throw StoreFailure(.unavailable, "look for sessions", cause: "nobody waits for the answer any more")
            }
            let revocations = published.current.revocations
            found += part.sessions.filter { revocations.kills($0) == nil }
            position = part.next
        } while position != nil && found.count <= Self.maximumSessions
        return found.prefix(Self.maximumSessions + 1).reversed()
    }

    /// Revokes each session that a condition names, in one go. One that is being opened meanwhile may escape it: only a
    /// block keeps somebody out.
    package func revoke(
        where condition: ClaimCondition, reason: String? = nil, by caller: Caller, trace: TraceID = TraceID()
    ) async throws(RevocationRefusal) -> RevocationOutcome {
        let sessions: [SessionRecord]
        do {
            sessions = try await preview(where: condition)
        } catch {
            throw .store(error)
        }
        guard sessions.count <= Self.maximumSessions else { throw .tooManySessions }
        var requests: [RevocationRequest] = []
        for session in sessions {
            do {
                requests.append(try RevocationRequest(.session(session.id), reason: reason))
            } catch {
                throw .unacceptable(error)
            }
        }
        return try await revoke(requests, by: caller, trace: trace)
    }

    /// All that are kept, by ascending number.
    package var list: [Revocation] { state.withLock { $0.live } }

    /// A part of what is kept, the latest first.
    /// - Parameter position: the lowest number of the part before; nil for the first.
    package func list(before position: UInt64?, limit: Int) -> [LiveRevocation] {
        state.withLock { state in
            let end = position.map { state.live.index(of: $0) } ?? state.live.endIndex
            let pending = state.pending
            return state.live[..<end].suffix(limit).reversed().map {
                LiveRevocation(revocation: $0, isDurable: state.isDurable($0, pending))
            }
        }
    }

    /// The one of that number; nil where none is kept.
    package func revocation(_ sequence: UInt64) -> LiveRevocation? {
        guard sequence < .max else { return nil }
        return list(before: sequence + 1, limit: 1).first.flatMap { $0.revocation.sequence == sequence ? $0 : nil }
    }

    /// The latest of that target; nil where none is kept.
    package func revocation(of target: Revocation.Target) -> Revocation? {
        state.withLock { state in state.live.last { $0.target == target } }
    }

    /// What is in force, by number, from one moment.
    package var snapshot: RevocationSnapshot {
        state.withLock { state in
            RevocationSnapshot(
                revocations: state.live, highest: published.current.revocations.highest, pruned: state.prunedCount,
                edition: "\(instance).\(state.liftCount)", change: state.changeCount)
        }
    }

    /// How many wait to become durable, and since when.
    package var waiting: (count: Int, since: Date?) { state.withLock { ($0.waiting.count, $0.waitingSince) } }
    package var liveCount: Int { state.withLock { $0.live.count } }
    package var highest: UInt64 { published.current.revocations.highest }

    /// Whether the record of a revoked key says that it is.
    package func setKey(_ keyID: ExactString, isRecorded: Bool) {
        state.withLock { state in
            if isRecorded { state.unrecordedKeys.remove(keyID) } else { state.unrecordedKeys.insert(keyID) }
        }
    }

    /// Yields after each change, and what changes while nobody looks only once.
    package func changes() -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let number = state.withLock { $0.observe(continuation) }
        continuation.onTermination = { [weak self] _ in self?.state.withLock { $0.forget(number) } }
        return stream
    }

    /// A place among those that are told of each revocation, until it is given up.
    package func follower() -> Follower {
        Follower(self, state.withLock { $0.follow() })
    }

    /// How many follow, and to how many of these not everything up to a number was written.
    package func followers(reached sequence: UInt64) -> (count: Int, behind: Int) {
        state.withLock { ($0.followers.count, $0.followers.values.count { $0 < sequence }) }
    }

    /// Whoever is told of each revocation as it comes into force. It ends with its last reference.
    package final class Follower: Sendable {
        private let revocations: Revocations
        private let number: Int

        fileprivate init(_ revocations: Revocations, _ number: Int) {
            self.revocations = revocations
            self.number = number
        }

        /// Everything up to that number was written to it.
        package func reached(_ sequence: UInt64) {
            revocations.state.withLock { $0.followers[number] = sequence }
        }

        deinit {
            _ = revocations.state.withLock { $0.followers.removeValue(forKey: number) }
        }
    }

    /// Tries to make durable what waits. To be called again and again, by one task.
    package func retry() async {
        while true {
            let batch = state.withLock { Array($0.waiting.prefix(Self.retryBatch)) }
            guard !batch.isEmpty, !Task.isCancelled, (try? await store.record(batch)) != nil else { return }
            let left = state.withLock { state in
                state.waiting.removeFirst(batch.count)
                if state.waiting.isEmpty { state.waitingSince = nil }
                return state.waiting.count
            }
            logger.notice(
                "revocations have become durable", metadata: ["count": "\(batch.count)", "waiting": "\(left)"])
        }
    }

    /// Deletes what matches nothing any more: 24 hours after the last token that it could match has expired.
    /// - Parameter now: of a clock that is to be believed.
    package func prune(at now: Date) async throws(StoreFailure) {
        let old = state.withLock { $0.outlived(at: now.addingTimeInterval(-Self.pruningMargin.seconds)) }
        guard !old.isEmpty else { return }
        try await store.delete(revocations: old.sorted())
        state.withLock { state in
            state.remove(old)
            publish(state)
        }
    }

    private func publish(_ state: State) {
        let set = RevocationSet(state.live, highest: published.current.revocations.highest)
        published.update { $0.revocations = set }
    }

    package static let pruningMargin: Duration = .seconds(86_400)

    private func apply(
        _ requests: [RevocationRequest], by caller: Caller, _ trace: TraceID
    ) throws(RevocationRefusal) -> [RecordedRevocation] {
        let now = clock.now
        return try state.withLock { state throws(RevocationRefusal) in
            let requests = try state.admitted(requests, by: caller)
            let first = published.current.revocations.highest
            guard first + UInt64(requests.count) < Revocation.maximumSequence else { throw .full }
            let recorded = requests.enumerated().map { index, request in
                let revocation = Revocation(request, sequence: first + UInt64(index) + 1, by: caller, at: now)
                return RecordedRevocation(revocation, AuditEvent(revoking: revocation, trace))
            }
            // Under the lock of this one: numbers come into force in their order.
            published.update { state in
                for recorded in recorded { state.revocations.insert(recorded.revocation) }
            }
            state.applied(recorded.map(\.revocation))
            return recorded
        }
    }
}
