@testable import Broker
import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import Synchronization
import Testing

/// No revocation and no change of keys is missed by what is remembered.
@Suite struct VerificationEpochTests {
    private let bench: VerificationBench

    init() throws {
        bench = try VerificationBench()
    }

    private static let targets: [Revocation.Target] = [
        .token(VerificationBench.id(1, 1)), .session(VerificationBench.id(1, 2)), .subject("corp:subject-1"),
        .rule("r"), .issuer(Sample.name("corp")), .all,
    ]

    @Test(arguments: targets)
    func `whatever is revoked, the next look at a remembered token sees it`(target: Revocation.Target) throws {
        let (token, other) = (try bench.token(1), try bench.token(2, ["rule": "s", "sub": "x:y", "rev": 0]))
        for token in [token, other] { #expect(try bench.judge(token) == nil) }
        bench.revoke(target)
        for _ in 0..<3 {
            #expect(try bench.judge(token) == .token(.revoked))
            #expect(try bench.judge(other) == (target == .all ? .token(.revoked) : nil))
        }
        #expect(bench.cache.counts.misses == 2, "neither was verified again")
    }

    @Test func `while nothing changes nothing is looked at again, and after a change once`() throws {
        let token = try bench.token()
        for _ in 0..<5 { #expect(try bench.judge(token) == nil) }
        #expect(bench.cache.counts.rechecks == 0)
        for round in 1...3 {
            bench.revoke(.subject("somebody else"))
            for _ in 0..<5 { #expect(try bench.judge(token) == nil) }
            #expect(bench.cache.counts.rechecks == UInt64(round))
        }
    }

    @Test func `a revocation while a token is being verified is seen by the next look`() throws {
        // Asked after the state was taken, and before the signature is looked at.
        let bench = try VerificationBench(failuresPerSecond: 100)
        let token = try bench.token(1)
        let first = try bench.judge(
            token,
            from: {
                bench.revoke(.subject("corp:subject-1"))
                return nil
            })
        #expect(first == nil, "it began before the revocation was acknowledged")
        #expect(bench.cache.size.entries == 1)
        #expect(try bench.judge(token) == .token(.revoked))
    }

    @Test func `a key that is taken away while a token is being verified is missed by the next look`() throws {
        let bench = try VerificationBench(failuresPerSecond: 100)
        let token = try bench.token(1, key: 1)
        let without = try bench.ring(without: [bench.keys[1].keyID])
        let first = try bench.judge(
            token,
            from: {
                bench.state.update { $0.keyRing = without }
                return nil
            })
        #expect(first == nil)
        #expect(try bench.judge(token) == .token(.key))
        #expect(bench.cache.size.entries == 0)
    }

    @Test func `a stamp that comes late does not cover a later revocation`() throws {
        let token = try bench.token(1)
        #expect(try bench.judge(token) == nil)
        let digest = SHA256Digest(of: Array(token.reveal().utf8).span)
        let known = try #require(bench.cache.lookUp(digest))
        // Somebody found it good under this state and is slow to say so.
        bench.revoke(.subject("somebody else"))
        let seen = bench.state.epoch
        bench.revoke(.subject("corp:subject-1"))
        bench.cache.stamp(digest, known.token, with: seen)
        #expect(try bench.judge(token) == .token(.revoked))
    }

    @Test func `a token of a key that is gone is refused and forgotten, and good again with the key`() throws {
        let token = try bench.token(1, key: 1)
        #expect(try bench.judge(token) == nil)
        let without = try bench.ring(without: [bench.keys[1].keyID])
        bench.state.update { $0.keyRing = without }
        #expect(try bench.judge(token) == .token(.key))
        #expect(bench.cache.size.entries == 0 && bench.cache.counts.keyRemovals == 1)
        #expect(try bench.judge(token) == .token(.key))
        bench.state.update { [ring = bench.ring] in $0.keyRing = ring }
        #expect(try bench.judge(token) == nil)
    }

    @Test func `a token of a revoked key is refused while the ring still has the key`() throws {
        let token = try bench.token(1, ["rev": 0])
        #expect(try bench.judge(token) == nil)
        bench.revoke(.key(bench.keys[0].keyID))
        #expect(try bench.judge(token) == .token(.revoked))
        #expect(try bench.judge(bench.token(2, ["rev": 1])) == .token(.revoked))
    }

    @Test func `a token that descends from a key that is gone or revoked is refused`() throws {
        let ancestor = bench.keys[1].keyID
        let token = try bench.token(1, ["kids": [.string(ancestor)]])
        #expect(try bench.judge(token) == nil)
        let without = try bench.ring(without: [ancestor])
        bench.state.update { $0.keyRing = without }
        #expect(try bench.judge(token) == .token(.revoked))
        bench.state.update { [ring = bench.ring] in $0.keyRing = ring }
        #expect(try bench.judge(token) == nil)
        bench.revoke(.key(ancestor))
        #expect(try bench.judge(token) == .token(.revoked))
    }

    @Test func `a sweep forgets what a removed key has signed`() async throws {
        for number in 0..<30 { #expect(try bench.judge(bench.token(number, key: number % 3)) == nil) }
        let without = try bench.ring(without: [bench.keys[2].keyID])
        bench.state.update { $0.keyRing = without }
        await bench.cache.sweep(keeping: bench.state.current.keyRing, at: bench.clock.now.timeIntervalSince1970)
        #expect(bench.cache.size.entries == 20)
    }

    @Test func `revocations that are set back do not bring a later epoch's tokens with them`() throws {
        bench.revoke(.subject("somebody"))
        let before = bench.state.current
        bench.revoke(.subject("corp:subject-1"))
        // It was given out after the second revocation, so that escapes it.
        let (later, earlier) = (try bench.token(1, ["rev": 2]), try bench.token(1, ["rev": 1]))
        #expect(try bench.judge(later) == nil)
        #expect(try bench.judge(earlier) == .token(.revoked))
        bench.state.update { $0 = before }
        #expect(bench.state.epoch == before.epoch, "the same state has the same epoch")
        #expect(try bench.judge(later) == .token(.claims))
        #expect(try bench.judge(earlier) == nil)
    }

    @Test func `a state made anew, in the same holder or another, has an epoch that nobody has seen`() throws {
        let (ring, token) = (bench.ring, try bench.token(1))
        var epochs: Set<UInt64> = [0]
        for _ in 0..<20 {
            #expect(epochs.insert(BrokerState(keyRing: ring).epoch).inserted)
            bench.state.update { $0 = BrokerState(keyRing: ring, revocations: $0.revocations) }
            #expect(epochs.insert(bench.state.epoch).inserted)
            bench.revoke(.subject("nobody"))
            #expect(epochs.insert(bench.state.epoch).inserted)
            #expect(bench.state.current.epoch == bench.state.epoch)
        }
        #expect(try bench.judge(token) == nil)
        // The same cache under another holder, as nobody should use it.
        let other = StateHolder(BrokerState(keyRing: ring))
        other.update { $0.revocations.insert(revocation(of: .subject("corp:subject-1"))) }
        let verifier = TokenVerifier(
            tokens: TokenConfiguration(issuer: VerificationBench.issuer, audiences: [Fixture.gateway]),
            policy: .init(requireScope: false), state: other, cache: bench.cache)
        let verdict = verifier.verdict(
            for: token, requiring: Requirement(), presentedBy: nil, at: bench.clock.now)
        #expect(verdict.denial == .token(.revoked))
        #expect(try bench.judge(token) == nil)
    }

    private func revocation(of target: Revocation.Target) -> Revocation {
        Revocation(
            sequence: 1, target: target, reason: nil, block: nil, created: Fixture.now, caller: .daemon,
            expires: Fixture.now.addingTimeInterval(86_400))
    }

    @Test func `a state whose update has returned is seen by every thread, with its epoch`() {
        let holder = bench.state
        let highest = Atomic<UInt64>(0)
        let wrong = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: 4) { thread in
            if thread == 0 {
                for _ in 0..<2000 {
                    bench.revoke(.subject("nobody"))
                    highest.store(holder.current.revocations.highest, ordering: .releasing)
                }
            } else {
                for _ in 0..<20_000 {
                    let acknowledged = highest.load(ordering: .acquiring)
                    let (epoch, state) = (holder.epoch, holder.current)
                    // Epochs of one holder that nobody sets back only grow.
                    if state.epoch < epoch || state.revocations.highest < acknowledged {
                        wrong.add(1, ordering: .relaxed)
                    }
                }
            }
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
    }
}
