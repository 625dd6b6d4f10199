@testable import Broker
import BrokerTesting
import Foundation
import JOSE
@testable import OpenSSL
import Testing

/// Garbage cannot buy the broker's time, and takes nothing from those who are honest.
@Suite struct FailedVerificationTests {
    /// 2 a second, 10 at once.
    private let bench: VerificationBench
    private let address: FailureHolder

    init() throws {
        bench = try VerificationBench(failuresPerSecond: 2)
        address = try VerificationBench.holder("192.0.2.1")
    }

    /// The token with another signature, of the right length.
    private func forged(
        _ number: Int, _ variant: Int = 0, by other: VerificationBench? = nil
    ) throws -> SecretText {
        let bench = other ?? bench
        var segments = TokenSegments(try bench.token(number).reveal())
        var signature = try Base64URL.decode(ExactString(segments.signature))
        signature[variant % 30] ^= UInt8(1 + variant / 30 % 255)
        segments.signature = Base64URL.encode(signature)
        return SecretText("\(segments.header).\(segments.payload).\(segments.signature)")
    }

    private func exhaust() throws {
        for number in 0..<10 {
            #expect(try bench.judge(forged(number), from: { address }) == .token(.signature))
        }
    }

    @Test func `who shows too many bad signatures gets no further one checked for a moment`() throws {
        try exhaust()
        #expect(try bench.judge(forged(10), from: { address }) == .tooManyFailures)
        #expect(try bench.judge(bench.token(11), from: { address }) == .tooManyFailures, "not looked at, good or bad")
        bench.clock.advance(by: .milliseconds(499))
        #expect(try bench.judge(bench.token(11), from: { address }) == .tooManyFailures)
        bench.clock.advance(by: .milliseconds(1))
        #expect(try bench.judge(bench.token(11), from: { address }) == nil)
        #expect(try bench.judge(bench.token(12), from: { address }) == nil, "good ones use up nothing")
        #expect(try bench.judge(forged(13), from: { address }) == .token(.signature))
        #expect(try bench.judge(forged(14), from: { address }) == .tooManyFailures)
    }

    @Test func `a token that is known is let pass all the same, and one that is revoked is refused`() throws {
        let (known, revoked) = (try bench.token(100), try bench.token(101))
        for token in [known, revoked] { #expect(try bench.judge(token, from: { address }) == nil) }
        try exhaust()
        #expect(try bench.judge(known, from: { address }) == nil)
        bench.revoke(.subject("corp:subject-101"))
        #expect(try bench.judge(known, from: { address }) == nil)
        #expect(try bench.judge(revoked, from: { address }) == .token(.revoked))
    }

    @Test func `nobody else is held back, and a trusted proxy never is`() throws {
        try exhaust()
        let other = try VerificationBench.holder("192.0.2.2")
        #expect(try bench.judge(bench.token(20), from: { other }) == nil)
        for number in 30..<80 { #expect(try bench.judge(forged(number)) == .token(.signature)) }
        #expect(try bench.judge(bench.token(81)) == nil)
    }

    @Test func `all of a network together have eight times as much`() throws {
        for host in 0..<8 {
            let holder = try VerificationBench.holder("2001:db8:1:\(host)::1")
            for number in 0..<10 {
                #expect(try bench.judge(forged(host * 10 + number), from: { holder }) == .token(.signature))
            }
        }
        let ninth = try VerificationBench.holder("2001:db8:2::1")
        #expect(try bench.judge(forged(90), from: { ninth }) == .tooManyFailures)
        let elsewhere = try VerificationBench.holder("2001:db9::1")
        #expect(try bench.judge(forged(91), from: { elsewhere }) == .token(.signature))
    }

    @Test func `what is refused before its signature is looked at counts for nothing`() throws {
        let foreign = try Fixture.quick
        let unknownKey = try foreign.token(VerificationBench.claims(), header: ["typ": "at+jwt"])
        let garbage = [
            "", "a.b.c", unknownKey, try bench.keys[0].token(VerificationBench.claims()),
            try foreign.token(foreign.claims(at: Fixture.now), header: ["typ": "at+jwt"]),
        ]
        var asked = 0
        for text in garbage {
            for _ in 0..<30 {
                let denial = try bench.judge(
                    SecretText(text),
                    from: {
                        asked += 1
                        return address
                    })
                #expect(denial != nil && denial != .tooManyFailures)
            }
        }
        #expect(asked == 0, "nobody even asks whose it is")
        #expect(try bench.judge(bench.token(1), from: { address }) == nil)
    }

    @Test func `of what nobody of ours signed no more is read than its header`() throws {
        let good = TokenSegments(try bench.token(1).reveal())
        let long = "[" + Array(repeating: "0.5", count: 2000).joined(separator: ",") + "]"
        let payload = Base64URL.encode(Array(#"{"a":\#(long)}"#.utf8))
        for other in [payload, Base64URL.encode(Array("{".utf8)), "not/base64url"] {
            let forged = SecretText("\(good.header).\(other).\(good.signature)")
            #expect(try bench.judge(forged) == .token(.signature))
        }
        #expect(try bench.judge(SecretText("\(good.header).\(good.payload).%")) == .token(.signature))
        let header =
            #"{"alg":"ES256","typ":"at+jwt","kid":"\#(bench.keys[0].keyID)","x":"\#(String(repeating: "x", count: 800))"}"#
        let wide = SecretText("\(Base64URL.encode(Array(header.utf8))).\(good.payload).\(good.signature)")
        #expect(try bench.judge(wide) == .token(.malformed))
    }

    @Test func `a token of ours for somebody else counts, since it is checked each time`() throws {
        let other = try bench.token(1, ["aud": "https://other.example.com"])
        for _ in 0..<10 { #expect(try bench.judge(other, from: { address }) == .token(.audience)) }
        #expect(try bench.judge(other, from: { address }) == .tooManyFailures)
    }

    @Test func `the same bad token shown again is neither checked nor counted again, for a minute`() throws {
        let bad = try forged(1)
        for _ in 0..<100 { #expect(try bench.judge(bad, from: { address }) == .token(.signature)) }
        for number in 2..<11 { #expect(try bench.judge(forged(number), from: { address }) == .token(.signature)) }
        #expect(try bench.judge(forged(11), from: { address }) == .tooManyFailures)
        #expect(try bench.judge(bad, from: { address }) == .token(.signature))
        bench.clock.advance(by: .seconds(60))
        var asked = 0
        let denial = try bench.judge(
            bad,
            from: {
                asked += 1
                return nil
            })
        #expect(denial == .token(.signature) && asked == 1, "after a minute it is looked at again")
    }

    @Test func `an expired token that is not remembered counts, and one that is does not`() throws {
        let (known, unknown) = (try bench.token(1), try (2..<20).map { try bench.token($0) })
        #expect(try bench.judge(known, from: { address }) == nil)
        bench.clock.advance(by: .seconds(901))
        for _ in 0..<50 { #expect(try bench.judge(known, from: { address }) == .token(.expired)) }
        for token in unknown[..<10] { #expect(try bench.judge(token, from: { address }) == .token(.expired)) }
        #expect(try bench.judge(unknown[10], from: { address }) == .tooManyFailures)
        #expect(try bench.judge(known, from: { address }) == .token(.expired))
    }

    @Test func `bad variants of a good token, before and after it is known, never make it fail`() throws {
        let bench = try VerificationBench()
        let good = try bench.token(1)
        let digest = SHA256Digest(of: Array(good.reveal().utf8).span)
        for variant in 0..<300 { #expect(try bench.judge(forged(1, variant, by: bench)) == .token(.signature)) }
        #expect(try bench.judge(good) == nil)
        // The very place of the good token's digest, taken by others.
        for other: UInt64 in 1...100 {
            var near = digest
            near.words.0 &+= other &* UInt64(KnownForgeries.count)
            bench.cache.forgeries.insert(near, at: bench.clock.now.timeIntervalSince1970)
        }
        #expect(try bench.judge(good) == nil)
        #expect(bench.cache.counts.evictions == 0, "forgeries take no place of good ones")
        #expect(bench.cache.size.entries == 1)
    }

    @Test func `a forgery is known by all of its digest, for a minute by a clock that was not set`() {
        let forgeries = KnownForgeries()
        let digest = SHA256Digest(of: Array("x".utf8).span)
        forgeries.insert(digest, at: 1000)
        for (seconds, isKnown) in [
            (1000.0, true), (1059.9, true), (1060, false), (940.1, true), (940, false), (0, false),
        ] {
            #expect(forgeries.contains(digest, at: seconds) == isKnown, "\(seconds)")
        }
        for word in 0..<4 {
            var other = digest
            switch word {
            case 0: other.words.0 &+= UInt64(KnownForgeries.count)
            case 1: other.words.1 ^= 1
            case 2: other.words.2 ^= 1
            default: other.words.3 ^= 1
            }
            #expect(!forgeries.contains(other, at: 1000))
        }
        #expect(!forgeries.contains(.none, at: 0))
    }

    @Test func `ten thousand forgeries leave what is known alone`() throws {
        let bench = try VerificationBench()
        let good = try (0..<100).map { try bench.token($0) }
        for token in good { #expect(try bench.judge(token) == nil) }
        let bad = SHA256Digest(of: Array("bad".utf8).span)
        for number: UInt64 in 0..<10_000 {
            var digest = bad
            digest.words.0 &+= number
            bench.cache.forgeries.insert(digest, at: 1_800_000_000)
        }
        let misses = bench.cache.counts.misses
        for token in good { #expect(try bench.judge(token) == nil) }
        #expect(bench.cache.counts.misses == misses)
    }

    @Test func `it says 429 in words and as a code`() {
        #expect(Denial.tooManyFailures.code == "too_many_failures")
        #expect(Denial.tooManyFailures.words.hasPrefix("429: "))
    }
}
