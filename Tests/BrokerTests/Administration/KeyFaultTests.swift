import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// The store fails at its Nth call, for every N, before or after the effect.
@Suite struct `Signing keys when the store fails` {
    /// What is done: each is tried with every fault in it.
    enum Deed: String, CaseIterable, Sendable {
        case rotate, activate, revokeActive, revokeStaged, revokeRetiring, retire, schedule, stage
    }

    private let caller = RotationBench.caller

    private func prepared(_ deed: Deed) async throws -> RotationBench {
        let bench = try await RotationBench(states: deed == .stage ? [.active] : [.active, .staged])
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
}
