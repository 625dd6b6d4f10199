@testable import Broker
import Foundation
import JOSE
@testable import OpenSSL
import Testing

/// The table of remembered tokens by itself.
@Suite struct `A part of the verification cache` {
    private static func digest(_ number: Int) -> SHA256Digest {
        SHA256Digest(of: Array("token \(number)".utf8).span)
    }

    private static let now = 1_800_000_000.0

    private func insert(
        _ number: Int, into shard: inout VerificationShard, as token: VerifiedToken? = nil, at seconds: Double = now
    ) throws {
        shard.insert(
            Self.digest(number), try token ?? VerificationBench.verified(number), stamp: 1,
            maximumCost: VerificationCache.maximumCost, at: seconds)
    }

    private func roomy(_ capacity: Int) -> VerificationShard {
        VerificationShard(capacity: capacity, maximumBytes: 1 << 30)
    }

    @Test func `digests that are alike in any three of their four words are told apart`() throws {
        var shard = roomy(100)
        var digests: [SHA256Digest] = []
        for word in 0..<4 {
            for value: UInt64 in 1...8 {
                var digest = Self.digest(0)
                switch word {
                case 0: digest.words.0 ^= value << 60 | value
                case 1: digest.words.1 ^= value
                case 2: digest.words.2 ^= value << 32
                default: digest.words.3 ^= value
                }
                digests.append(digest)
            }
        }
        for (number, digest) in digests.enumerated() where number.isMultiple(of: 2) {
            let token = try VerificationBench.verified(number)
            shard.insert(digest, token, stamp: 1, maximumCost: 8192, at: Self.now)
        }
        for (number, digest) in digests.enumerated() {
            let found = shard.lookUp(digest)?.token.subject
            #expect(found == (number.isMultiple(of: 2) ? ExactString("corp:subject-\(number)") : nil))
        }
        #expect(shard.lookUp(Self.digest(0)) == nil)
    }

    @Test(arguments: [1, 2, 3, 10, 97])
    func `what is found is what was put there, whatever is put in and taken out`(capacity: Int) throws {
        var shard = roomy(capacity)
        var random = SystemRandomNumberGenerator()
        let tokens = try (0..<3 * capacity).map { try VerificationBench.verified($0) }
        // Few homes, so that they stand behind each other and around the end.
        let digests = tokens.indices.map { number in
            var digest = Self.digest(number)
            digest.words.0 = UInt64(number % 5) << 62 | (number.isMultiple(of: 3) ? .max >> 1 : 0)
            return digest
        }
        var known: Set<Int> = []
        for _ in 0..<20_000 {
            let number = Int.random(in: tokens.indices, using: &random)
            if known.contains(number) {
                #expect(shard.lookUp(digests[number])?.token.isSame(as: tokens[number]) == true)
                if Bool.random(using: &random) {
                    shard.remove(digests[number], tokens[number], for: .key)
                    known.remove(number)
                }
            } else {
                #expect(shard.lookUp(digests[number]) == nil)
                guard known.count < capacity else { continue }
                shard.insert(digests[number], tokens[number], stamp: 1, maximumCost: 8192, at: Self.now)
                known.insert(number)
            }
            #expect(shard.count == known.count)
        }
        #expect(shard.counts.evictions == 0, "there was room all along")
        for number in known { shard.remove(digests[number], tokens[number], for: .key) }
        #expect(shard.count == 0 && shard.bytes == 0)
    }

    @Test func `a working set keeps its hits under a scan of ten times the cache's size`() throws {
        var shard = roomy(1000)
        let working = 0..<700
        for number in working {
            try insert(number, into: &shard)
            _ = shard.lookUp(Self.digest(number))
        }
        for number in 10_000..<20_000 { try insert(number, into: &shard) }
        #expect(working.count { shard.lookUp(Self.digest($0)) != nil } == working.count)
        #expect(shard.count == 1000)
    }

    @Test func `a working set that comes in the midst of a scan gets its place too`() throws {
        var shard = roomy(1000)
        var (hits, asked) = (0, 0)
        for round in 0..<40 {
            for number in 0..<300 {
                asked += 1
                if shard.lookUp(Self.digest(number)) == nil { try insert(number, into: &shard) } else { hits += 1 }
                // Three that never come again for each that does.
                for extra in 0..<3 { try insert(100_000 + (round * 300 + number) * 3 + extra, into: &shard) }
            }
        }
        // Its distance, 1200, is more than the cache holds: one that evicts the eldest would have no hit at all.
        #expect(hits > asked * 85 / 100, "\(hits) of \(asked)")
    }

    @Test func `what is not asked for any more goes in the end`() throws {
        var shard = roomy(100)
        for number in 0..<100 {
            try insert(number, into: &shard)
            for _ in 0..<3 { _ = shard.lookUp(Self.digest(number)) }
        }
        for number in 1000..<3000 {
            try insert(number, into: &shard)
            _ = shard.lookUp(Self.digest(number))
        }
        #expect((0..<100).allSatisfy { shard.lookUp(Self.digest($0)) == nil })
    }

    @Test func `neither entries nor bytes go beyond their bounds`() throws {
        var shard = VerificationShard(capacity: 500, maximumBytes: 60_000)
        var random = SystemRandomNumberGenerator()
        for number in 0..<3000 {
            let subject = ExactString(String(repeating: "s", count: Int.random(in: 1...4000, using: &random)))
            let changes: JSONObject = number % 7 == 0 ? ["act": ["sub": .string(subject)]] : ["sub": .string(subject)]
            try insert(number, into: &shard, as: VerificationBench.verified(number, changes))
            #expect(shard.count <= 500 && shard.bytes <= 60_000)
        }
        #expect(shard.count > 5)
    }

    @Test func `one token that takes the room of many is not remembered`() throws {
        var shard = roomy(100)
        let actor = ExactString(String(repeating: "a", count: 2000))
        try insert(1, into: &shard, as: VerificationBench.verified(1, ["act": ["sub": .string(actor)]]))
        #expect(shard.count == 0)
        var small = VerificationShard(capacity: 100, maximumBytes: 100)
        try insert(1, into: &small)
        #expect(small.count == 0)
    }

    @Test func `tokens that have expired make way first`() throws {
        var shard = roomy(100)
        for number in 0..<100 {
            let token = try VerificationBench.verified(number, ["exp": number < 90 ? 1_800_000_010 : 1_800_000_900])
            try insert(number, into: &shard, as: token)
            _ = shard.lookUp(Self.digest(number))
        }
        for number in 1000..<1090 { try insert(number, into: &shard, at: Self.now + 10) }
        #expect(shard.counts.expirations == 90 && shard.counts.evictions == 0)
        #expect((90..<100).allSatisfy { shard.lookUp(Self.digest($0)) != nil })
    }

    @Test func `a sweep takes what has expired and what a removed key has signed, and nothing else`() throws {
        var shard = roomy(100)
        for number in 0..<90 {
            let expiry: JSONValue = number % 3 == 0 ? 1_800_000_010 : 1_800_000_900
            let token = try VerificationBench.verified(
                number, ["exp": expiry], keyID: number % 3 == 1 ? "removed" : "kept")
            try insert(number, into: &shard, as: token)
        }
        var next: Int? = 0
        var steps = 0
        while let start = next {
            next = shard.sweep(from: start, count: 7, expiredBefore: Self.now + 11) { $0 == "kept" }
            steps += 1
        }
        #expect(steps == 13)
        #expect((0..<90).filter { shard.lookUp(Self.digest($0)) != nil } == (0..<90).filter { $0 % 3 == 2 })
        #expect(shard.counts.expirations == 30 && shard.counts.keyRemovals == 30)
        for number in 0..<90 { try insert(number + 500, into: &shard) }
        #expect(shard.count == 100, "their room is free again")
    }

    @Test func `the first of two that remember the same token wins, and a stamp is for the very token`() throws {
        var shard = roomy(10)
        let (one, other) = (try VerificationBench.verified(1), try VerificationBench.verified(1))
        try insert(1, into: &shard, as: one)
        try insert(1, into: &shard, as: other)
        #expect(shard.count == 1)
        #expect(shard.lookUp(Self.digest(1))?.token.isSame(as: one) == true)
        shard.stamp(Self.digest(1), other, with: 9)
        shard.remove(Self.digest(1), other, for: .key)
        #expect(shard.lookUp(Self.digest(1))?.stamp == 1)
        shard.stamp(Self.digest(1), one, with: 9)
        #expect(shard.lookUp(Self.digest(1))?.stamp == 9)
    }
}
