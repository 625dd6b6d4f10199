import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// Whom a revocation keeps out, until when, and how that ends.
@Suite struct `A block` {
    private let store = MemoryStore()
    private let clock = ManualClock()
    private let log = LogRecorder()
    private let state: StateHolder
    private let revocations: Revocations
    private let full = StoreFailure(.unavailable, "record", cause: "the disk is full")
    private let alice = Revocation.Target.subject("corp:alice")

    init() throws {
        state = StateHolder(BrokerState(keyRing: try Fixture.keyRing()))
        revocations = Revocations(store, publishedIn: state, clock: clock, logger: log.logger)
    }

    private func restarted() async throws -> (Revocations, StateHolder) {
        let state = StateHolder(BrokerState(keyRing: try Fixture.keyRing()))
        let revocations = Revocations(store, publishedIn: state, clock: clock, logger: log.logger)
        try await revocations.restore()
        return (revocations, state)
    }

    @discardableResult
    private func revoke(_ target: Revocation.Target, _ block: Revocation.Block?) async throws -> RevocationOutcome {
        try await revocations.revoke(RevocationRequest(target, block: block), by: .daemon)
    }

    private func end(in seconds: Double) -> Revocation.Block {
        Revocation.Block(until: clock.now.addingTimeInterval(seconds))
    }

    private let endless = Revocation.Block(until: nil)

    @Test(arguments: [
        Revocation.Target.subject("corp:alice"), .rule("main"), .issuer(Sample.name("corp")), .all,
    ])
    func `is never shortened by a later one, also not by a restart`(target: Revocation.Target) async throws {
        try await revoke(target, end(in: 60))
        let longer = end(in: 600)
        try await revoke(target, longer)
        for block in [end(in: 30), nil] { try await revoke(target, block) }
        #expect(revocations.block(of: target) == longer)
        try await revoke(target, endless)
        for block in [end(in: 1), nil, longer] { try await revoke(target, block) }
        let (again, reloaded) = try await restarted()
        clock.advance(by: .seconds(10 * 365 * 86_400))
        for (revocations, state) in [(revocations, state), (again, reloaded)] {
            #expect(revocations.block(of: target) == endless)
            let kept = state.current.revocations.blocks(subject: "corp:alice", actor: nil, rule: "main", at: clock.now)
            #expect(kept == target)
        }
    }

    @Test func `is lifted by name, on the record, and what it killed stays dead`() async throws {
        let session = Sample.session("s", subject: "corp:alice")
        try await revoke(alice, endless)
        try await revoke(alice, end(in: 60))
        try await revoke(.all, end(in: 60))
        let trace = TraceID()
        let caller = Caller.socket(uid: 7, loginUID: 8, pid: 9)
        let lifted = try await revocations.lift(RevocationRequest(alice, reason: "back"), by: caller, trace: trace)
        #expect(lifted.block == endless && lifted.sequences == [1, 2])
        let (again, reloaded) = try await restarted()
        for (revocations, state) in [(revocations, state), (again, reloaded)] {
            #expect(revocations.block(of: alice) == nil)
            #expect(revocations.list.map { $0.block == nil } == [true, true, false])
            #expect(revocations.block(of: .all) != nil, "that of another target was lifted, too")
            #expect(state.current.revocations.kills(session) != nil)
            #expect(state.current.revocations.highest == 3)
        }
        let event = try #require(try await store.auditEvents(trace: trace).first)
        #expect(event.kind == .blockLifted && event.subject == "corp:alice")
        #expect(event.details["before"] == ["block": [:]] && event.details["after"] == ["block": .null])
        #expect(event.details["caller"]?.object?["uid"] == 7 && event.details["reason"] == "back")
        #expect(event.details["revocations"] == [1, 2])
        let refusal = await #expect(throws: BlockLiftRefusal.self) {
            try await revocations.lift(RevocationRequest(alice), by: caller)
        }
        guard case .notBlocked = refusal else { Issue.record("\(String(describing: refusal))"); return }
        // It can be blocked anew.
        try await revoke(alice, end(in: 60))
        #expect(revocations.block(of: alice) == end(in: 60))
    }

    @Test func `stays where the store does not record that it is lifted, and while it is not recorded itself`()
        async throws
    {
        try await revoke(alice, endless)
        store.fail(with: full)
        await #expect(throws: BlockLiftRefusal.self) {
            try await revocations.lift(RevocationRequest(alice), by: .daemon)
        }
        #expect(revocations.block(of: alice) == endless)
        #expect(try await revoke(alice, end(in: 60)).isDurable == false)
        store.fail(with: nil)
        let refusal = await #expect(throws: BlockLiftRefusal.self) {
            try await revocations.lift(RevocationRequest(alice), by: .daemon)
        }
        guard case .notDurable = refusal else { Issue.record("\(String(describing: refusal))"); return }
        #expect(store.events.count == 1)
        await revocations.retry()
        _ = try await revocations.lift(RevocationRequest(alice), by: .daemon)
        #expect(try await restarted().0.block(of: alice) == nil)
    }

    /// A reader of the feed would otherwise go on with what it was sent.
    @Test func `that is lifted is another edition of what is revoked`() async throws {
        try await revoke(alice, endless)
        let before = revocations.snapshot
        _ = try await revocations.lift(RevocationRequest(alice), by: .daemon)
        let after = revocations.snapshot
        #expect(before.edition != after.edition && before.tag != after.tag && before.highest == after.highest)
    }

    // MARK: Pruning

    @Test func `without end outlives one that a crash would lose`() async throws {
        try await revoke(alice, endless)
        store.fail(with: full)
        try await revoke(alice, endless)
        store.fail(with: nil)
        clock.advance(by: .seconds(10 * 86_400))
        try await revocations.prune(at: clock.now)
        #expect(try await restarted().0.block(of: alice) == endless)
        await revocations.retry()
        try await revocations.prune(at: clock.now)
        #expect(revocations.list.map(\.sequence) == [2], "of two without end one is enough")
    }

    /// Numbers that look random and are the same each time.
    private struct Numbers {
        var state: UInt64

        mutating func below(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(bound))
        }
    }

    @Test(arguments: 1...150)
    func `is the same after a restart, and the longest that was asked for, whatever was done before`(
        seed: Int
    ) async throws {
        var numbers = Numbers(state: UInt64(seed) &* 7919)
        let targets: [Revocation.Target] = [alice, .rule("main"), .all]
        // All that is in force, by number; and of it what a restart may not lose.
        var asked: [UInt64: (target: Revocation.Target, block: Revocation.Block)] = [:]
        var durable: Set<UInt64> = []
        func longest(_ target: Revocation.Target, _ isMeant: (UInt64) -> Bool) -> Revocation.Block? {
            let blocks = asked.filter { $0.value.target == target && isMeant($0.key) }.map(\.value.block)
            return blocks.filter { $0.holds(at: clock.now) }.max { $1.outlasts($0) }
        }
        var isFailing = false
        for step in 1...60 {
            let target = targets[numbers.below(targets.count)]
            switch numbers.below(9) {
            case 0...2:
                let block = [nil, endless, end(in: 3600), end(in: 86_400 * 9), end(in: 86_400 * 30)][numbers.below(5)]
                let outcome = try await revoke(target, block)
                let number = try #require(outcome.revocation?.sequence)
                if let block { asked[number] = (target, block) }
                if outcome.isDurable { durable.insert(number) }
            case 3:
                if (try? await revocations.lift(RevocationRequest(target), by: .daemon)) != nil {
                    asked = asked.filter { $0.value.target != target }
                }
            case 4, 5: clock.advance(by: .seconds(3600 * Double(numbers.below(300))))
            case 6: try? await revocations.prune(at: clock.now)
            case 7:
                isFailing.toggle()
                store.fail(with: isFailing ? full : nil)
            default:
                await revocations.retry()
                if revocations.waiting.count == 0 { durable.formUnion(asked.keys) }
            }
            store.fail(with: nil)
            let (again, reloaded) = try await restarted()
            for target in targets {
                let comment: Comment = "seed \(seed), step \(step), \(target)"
                #expect(revocations.block(of: target) == longest(target) { _ in true }, comment)
                let kept = again.block(of: target)
                let promised = longest(target, durable.contains)
                #expect(promised.map { promised in kept.map { !promised.outlasts($0) } ?? false } ?? true, comment)
                guard revocations.waiting.count == 0 else { continue }
                #expect(
                    state.current.revocations.block(of: target) == reloaded.current.revocations.block(of: target),
                    comment)
            }
            if revocations.waiting.count == 0 { #expect(again.list == revocations.list) }
            store.fail(with: isFailing ? full : nil)
        }
    }
}
