import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// The store fails at its Nth call, for every N, before or after the effect; so does the making of keys.
@Suite struct `Signing keys when the store or the random source fails` {
    /// What is done: each is tried with every fault in it.
    enum Deed: String, CaseIterable, Sendable {
        case rotate, activate, revokeActive, revokeStaged, revokeRetiring, retire, schedule, stage
    }

    private let caller = RotationBench.caller

    private func prepared(
        _ deed: Deed, _ source: any SigningKeySource = NewSigningKeys()
    ) async throws -> RotationBench {
        let states: [SigningKeyRecord.State] = deed == .stage ? [.active] : [.active, .staged]
        let bench = try await RotationBench(states: states, source: source)
        if [.activate, .revokeRetiring, .retire].contains(deed) {
            _ = try await bench.rotation.rotate(force: true, by: caller)
        }
        if [.retire, .schedule].contains(deed) {
            await bench.settle()
            bench.clock.advance(by: .seconds(deed == .retire ? 25 * 3600 : 7 * 86_400))
        }
        return bench
    }

    /// - Returns: whether it was done, as far as was said.
    private func perform(_ deed: Deed, on bench: RotationBench) async throws -> Bool {
        do {
            switch deed {
            case .rotate: _ = try await bench.rotation.rotate(force: true, by: caller)
            case .activate: _ = try await bench.rotation.activate(bench.id(.retiring), by: caller)
            case .revokeActive: return try await bench.rotation.revoke(bench.id(.active), by: caller).isDurable
            case .revokeStaged: return try await bench.rotation.revoke(bench.id(.staged), by: caller).isDurable
            case .revokeRetiring: return try await bench.rotation.revoke(bench.id(.retiring), by: caller).isDurable
            case .retire, .schedule, .stage:
                await bench.rotation.tick()
                return bench.metrics.failure == nil
            }
            return true
        } catch is KeyRotationFailure {
            return false
        }
    }

    @Test(arguments: Deed.allCases, FailingKeyStore.Fault.allCases)
    func `there is one active key, and the ring in memory is the store's or the last good one`(
        deed: Deed, fault: FailingKeyStore.Fault
    ) async throws {
        for (first, last) in [(1, 1), (2, 2), (3, 3), (1, 2), (1, 3), (2, 4), (1, 1000)] {
            let bench = try await prepared(deed)
            let (before, ringBefore, events) = (
                try await bench.stored, try bench.published, bench.store.base.events.count
            )
            let comment: Comment = "\(deed), calls \(first) to \(last), \(fault)"
            bench.store.fail(first...last, fault)
            let isDone = try await perform(deed, on: bench)
            let stored = try await bench.stored
            #expect(stored.count { $0.state == .active } == 1, comment)
            #expect(stored.count { $0.state == .staged } <= 1, comment)
            // What is said to be done is; each change has exactly its record.
            if isDone { #expect(stored != before, comment) }
            if stored == before { #expect(bench.store.base.events.count == events, comment) }
            if stored != before { #expect(bench.store.base.events.count == events + 1, comment) }
            let isRevocation = deed.rawValue.hasPrefix("revoke")
            let published = try bench.published
            let ofStore = Set(stored.filter(\.state.isPublished).map(\.keyID))
            if !isRevocation { #expect(published == ofStore || published == ringBefore, comment) }

            bench.store.fail(nil)
            await bench.rotation.tick()
            if !isDone, !isRevocation { _ = try await perform(deed, on: bench) }
            try await bench.expectConsistent(comment)
            #expect(bench.metrics.failure == nil, comment)
        }
    }

    @Test(arguments: Deed.allCases)
    func `without randomness for a new key nothing is half done, and a revocation holds`(deed: Deed) async throws {
        for (first, last) in [(1, 1), (2, 2), (3, 3), (1, 2), (1, 1000)] {
            let source = FailingKeySource()
            let bench = try await prepared(deed, source)
            let (before, events) = (try await bench.stored, bench.store.base.events.count)
            let comment: Comment = "\(deed), keys \(first) to \(last)"
            let isRevocation = deed.rawValue.hasPrefix("revoke")
            let state: SigningKeyRecord.State =
                deed == .revokeStaged ? .staged : deed == .revokeRetiring ? .retiring : .active
            let (keyID, token) = (try await bench.id(state), try await bench.token())
            source.fail(first...last)
            let isDone = try await perform(deed, on: bench)
            let stored = try await bench.stored
            // A change is made with all its keys or not at all.
            #expect(isDone == (stored != before), comment)
            #expect(bench.store.base.events.count == events + (isDone ? 1 : 0), comment)
            #expect(stored.count { $0.state == .active } == 1, comment)
            if isRevocation {
                #expect(try !bench.published.contains(keyID), comment)
                #expect(bench.revocations.keys == [keyID], comment)
                #expect(try bench.accepts(token) == (state != .active), comment)
            } else {
                #expect(try bench.published == Set(stored.filter(\.state.isPublished).map(\.keyID)), comment)
            }
            source.fail(nil)
            await bench.rotation.tick()
            if !isDone, !isRevocation { _ = try await perform(deed, on: bench) }
            try await bench.expectConsistent(comment)
            #expect(bench.metrics.failure == nil, comment)
            if isRevocation {
                #expect(try await bench.stored.first { $0.keyID == keyID }?.state == .compromised, comment)
            }
        }
    }

    @Test(arguments: [SigningKeyRecord.State.active, .staged])
    func `a start after half a revocation that has no randomness keeps the key out until there is some`(
        state: SigningKeyRecord.State
    ) async throws {
        let bench = try await RotationBench()
        let (keyID, stored) = (try await bench.id(state), try await bench.stored)
        let revocation = Revocation(
            sequence: 1, target: .key(keyID), reason: nil, block: nil, created: bench.clock.now, caller: caller,
            expires: bench.clock.now)
        let holder = StateHolder(
            BrokerState(
                keyRing: try KeyRing(opening: stored, with: bench.masterKey), revocations: RevocationSet([revocation])))
        let source = FailingKeySource()
        source.fail(1...1000)
        let restarted = try KeyRotation(
            bench.store, holding: stored, sealedWith: bench.masterKey, SigningConfiguration(), publishingIn: holder,
            source: source, clock: bench.clock, metrics: bench.metrics, logger: bench.log.logger)
        for _ in 0..<2 {
            await restarted.tick()
            #expect(holder.current.keyRing.published[keyID] == nil)
            #expect(bench.metrics.failure?.cause.contains("no randomness") == true)
            #expect(try await bench.stored == stored)
        }
        source.fail(nil)
        await restarted.tick()
        #expect(bench.metrics.failure == nil)
        let now = try await bench.stored
        #expect(now.first { $0.keyID == keyID }?.state == .compromised)
        #expect(now.count { $0.state == .active } == 1 && now.count { $0.state == .staged } == 1)
    }
}
