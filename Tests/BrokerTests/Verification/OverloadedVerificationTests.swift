@testable import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// A verifier that has no time for signatures.
@Suite struct `Verification without time` {
    private let bench: VerificationBench
    private let address: FailureHolder

    init() throws {
        bench = try VerificationBench(failuresPerSecond: 1)
        address = try VerificationBench.holder("192.0.2.1")
    }

    /// - Returns: what is denied, and how often it asked for time.
    private func judge(_ token: SecretText, hasTime: Bool = false) -> (Denial?, Int) {
        var asked = 0
        let text = token.reveal()
        let verdict = bench.cached.judgement(
            on: text.utf8.span, requiring: Requirement(), presentedBy: nil, from: { address },
            hasTime: {
                asked += 1
                return hasTime
            }, at: bench.clock.now
        ).verdict
        return (verdict.denial, asked)
    }

    private func forged(_ number: Int) throws -> SecretText {
        var segments = TokenSegments(try bench.token(number).reveal())
        var signature = try Base64URL.decode(ExactString(segments.signature))
        signature[1] ^= 1
        segments.signature = Base64URL.encode(signature)
        return SecretText("\(segments.header).\(segments.payload).\(segments.signature)")
    }

    @Test func `refuses what it does not know, good or bad, and learns nothing of it`() throws {
        let token = try bench.token(1)
        for _ in 0..<20 {
            #expect(judge(token) == (.overloaded, 1))
            #expect(judge(try forged(2)) == (.overloaded, 1), "no failure counts that nobody looked at")
        }
        #expect(judge(token, hasTime: true) == (nil, 1))
        #expect(judge(try forged(2), hasTime: true) == (.token(.signature), 1))
    }

    @Test func `needs none for what it knows`() throws {
        let (known, revoked, expired) = (try bench.token(1), try bench.token(2), try bench.token(3))
        for token in [known, revoked] { #expect(judge(token, hasTime: true) == (nil, 1)) }
        #expect(judge(try forged(4), hasTime: true) == (.token(.signature), 1))
        bench.revoke(.subject("corp:subject-2"))
        #expect(judge(known) == (nil, 0))
        #expect(judge(revoked) == (.token(.revoked), 0))
        #expect(judge(try forged(4)) == (.token(.signature), 0), "that it has none makes no difference")
        bench.clock.advance(by: .seconds(901))
        #expect(judge(known) == (.token(.expired), 0))
        #expect(judge(expired) == (.overloaded, 1), "nobody has looked when it expires")
    }

    @Test func `does not parse what it does not know, and holds nobody back for that`() throws {
        let foreign = try Fixture.quick.token(VerificationBench.claims(), header: ["typ": "at+jwt"])
        for number in 10..<20 { _ = judge(try forged(number), hasTime: true) }
        #expect(judge(try bench.token(20), hasTime: true) == (.tooManyFailures, 1))
        for token in [SecretText("a.b.c"), SecretText(foreign), try bench.token(20)] {
            #expect(judge(token) == (.overloaded, 1))
        }
        #expect(judge(SecretText(String(repeating: "a", count: 70_000))) == (.token(.malformed), 0))
    }

    @Test func `it says 503 in words and as a code`() {
        #expect(Denial.overloaded.code == "overloaded")
        #expect(Denial.overloaded.words.hasPrefix("503: "))
    }
}
