@testable import Broker
import BrokerTesting
import Foundation
import JOSE
import Synchronization
import Testing

/// A verifier that remembers and one that does not say the same, whatever happens.
@Suite struct `With and without the verification cache` {
    private struct Source {
        var random: Seeded
        mutating func pick(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }
    }

    /// Repeats with its seed (SplitMix64).
    private struct Seeded: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var value = state
            value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
            value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
            return value ^ value >> 31
        }
    }

    private static func claims(_ number: Int, _ source: inout Source) -> JSONObject {
        var changes: JSONObject = ["rev": .number(Double(source.pick(4)))]
        switch source.pick(10) {
        case 0: changes = changes.merging(["act": ["sub": .string(ExactString("agents:\(source.pick(3))"))]])
        case 1:
            let ids = [VerificationBench.id(source.pick(20), 2), VerificationBench.id(number, 2)]
            changes = changes.merging(["lin": .array(ids.map { .string($0) })])
        case 2: changes = changes.merging(["exp": .number(Double(1_800_000_000 + source.pick(40)))])
        case 3: changes = changes.merging(["nbf": .number(Double(1_800_000_000 + source.pick(20) - 10))])
        case 4:
            changes = changes.merging([
                "aud": .string(VerificationBench.issuer), "scope": "daypass:admin",
            ])
        case 5: changes = changes.merging(["rule": .string(ExactString("rule-\(source.pick(3))"))])
        case 6: changes = changes.merging(["scope": source.pick(2) == 0 ? "a:write" : "\"bad"])
        default: break
        }
        return changes
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func `thousands of tokens, mutations, revocations and changes of keys are judged alike`(seed: UInt64) throws {
        // So small that much is evicted.
        let bench = try VerificationBench(
            cache: VerificationCache(entries: 48, shardBits: 1, bytesPerEntry: 4096))
        var source = Source(random: Seeded(state: seed))
        var tokens: [SecretText] = []
        for number in 0..<120 {
            let key = source.pick(3)
            var changes = Self.claims(number, &source)
            if source.pick(8) == 0 { changes = changes.merging(["kids": [.string(bench.keys[(key + 1) % 3].keyID)]]) }
            tokens.append(try bench.token(number, changes, key: key))
        }
        let states = Mutex<[BrokerState]>([])
        var outcomes: [String: Int] = [:]
        for step in 0..<1500 {
            switch source.pick(60) {
            case 0:
                let target: Revocation.Target
                switch source.pick(6) {
                case 0: target = .token(VerificationBench.id(source.pick(120), 1))
                case 1: target = .session(VerificationBench.id(source.pick(120), 2))
                case 2: target = .subject(ExactString("corp:subject-\(source.pick(120))"))
                case 3: target = .subject(ExactString("agents:\(source.pick(3))"))
                case 4: target = .rule(ExactString("rule-\(source.pick(3))"))
                default: target = .key(bench.keys[source.pick(3)].keyID)
                }
                bench.revoke(target)
            case 1:
                let without = try bench.ring(without: [bench.keys[source.pick(3)].keyID])
                bench.state.update { $0.keyRing = without }
            case 2, 3: bench.state.update { [ring = bench.ring] in $0.keyRing = ring }
            case 4: states.withLock { $0.append(bench.state.current) }
            case 5:
                let kept = states.withLock { $0 }
                if !kept.isEmpty {
                    let state = kept[source.pick(kept.count)]
                    bench.state.update { $0 = state }
                }
            case 6: bench.state.update { $0.revocations = .none }
            case 7: bench.clock.now = Fixture.now.addingTimeInterval(Double(source.pick(60) - 15))
            default: break
            }
            // Some are asked for far more often than others.
            var token = tokens[source.pick(2) == 0 ? source.pick(12) : source.pick(tokens.count)]
            if source.pick(12) == 0 {
                var bytes = Array(token.reveal().utf8)
                bytes[source.pick(bytes.count)] ^= UInt8(1 << source.pick(7))
                token = SecretText(String(decoding: bytes, as: UTF8.self))
            }
            let scopes = [[], ["a:read"], ["a:write", "a:read"], ["daypass:admin"]][source.pick(4)]
            let requirement = Requirement(scopes: try Fixture.scopes(scopes))
            let now = bench.clock.now
            let one = bench.cached.judgement(on: token, requiring: requirement, presentedBy: nil, at: now)
            let other = bench.plain.judgement(on: token, requiring: requirement, presentedBy: nil, at: now)
            let (left, right) = (describe(one), describe(other))
            #expect(left == right, "seed \(seed), step \(step)")
            outcomes[String(left.prefix { $0 != "|" }), default: 0] += 1
        }
        // That it met all that it is to show.
        for outcome in ["allow", "revoked", "key", "expired", "signature", "audience", "insufficient_scope"] {
            #expect(outcomes[outcome, default: 0] > 0, "\(outcome): \(outcomes)")
        }
        let counts = bench.cache.counts
        #expect(counts.hits > 200 && counts.rechecks > 20 && counts.evictions > 20, "\(counts)")
    }

    private func describe(_ judgement: Judgement) -> String {
        switch judgement.verdict {
        case .allow(let token): "allow|\(describe(token.claims))"
        case .deny(let denial):
            "\(denial.code)|\(judgement.claims.map(describe) ?? "-")|\(judgement.killer.map { $0.words } ?? "-")"
        }
    }

    private func describe(_ claims: GatewayClaims) -> String {
        """
        \(claims.subject) \(claims.sessionID) \(claims.tokenID) \(claims.lineage) \(claims.audience) \(claims.rule) \
        \(claims.keyID) \(claims.ancestorKeys) \(claims.revision) \(claims.actors) \(claims.scope) \(claims.issuedAt) \
        \(claims.notBefore) \(claims.expiry)
        """
    }

    @Test func `several threads at once, with too little room and revocations, are never told of another's token`()
        throws
    {
        let bench = try VerificationBench(
            cache: VerificationCache(entries: 32, shardBits: 1, bytesPerEntry: 512))
        let tokens = try (0..<96).map { try bench.token($0) }
        let revoked = Atomic<Int>(0)
        let wrong = Mutex<[String]>([])
        DispatchQueue.concurrentPerform(iterations: 8) { thread in
            var source = Source(random: Seeded(state: UInt64(thread)))
            for step in 0..<600 {
                if thread == 0, step.isMultiple(of: 40) {
                    // Those with the lowest numbers, one after the other.
                    let number = step / 40
                    bench.revoke(.subject(ExactString("corp:subject-\(number)")))
                    revoked.store(number + 1, ordering: .releasing)
                }
                let number = source.pick(2) == 0 ? source.pick(10) : source.pick(tokens.count)
                let acknowledged = revoked.load(ordering: .acquiring)
                let verdict = bench.cached.verdict(
                    for: tokens[number], requiring: Requirement(), presentedBy: nil, at: bench.clock.now)
                switch verdict {
                case .allow(let token):
                    if token.subject != ExactString("corp:subject-\(number)") || number < acknowledged {
                        wrong.withLock { $0.append("\(number): allowed as \(token.subject)") }
                    }
                case .deny(let denial):
                    // It may be on its way.
                    let isRevoked = number < revoked.load(ordering: .acquiring) + 1
                    if denial != .token(.revoked) || !isRevoked { wrong.withLock { $0.append("\(number): \(denial)") } }
                }
            }
        }
        #expect(wrong.withLock { $0 } == [])
        #expect(bench.cache.counts.evictions > 100 && bench.cache.size.entries <= 32)
    }
}
