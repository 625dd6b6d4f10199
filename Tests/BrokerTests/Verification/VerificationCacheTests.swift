@testable import Broker
import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import SPIFFE
import Testing

/// What is remembered is the outcome of the signature check, and nothing that can change.
@Suite struct VerificationCacheTests {
    private let bench: VerificationBench

    init() throws {
        bench = try VerificationBench()
    }

    private var hits: UInt64 { bench.cache.counts.hits }

    @Test func `a token is found again by its very bytes`() throws {
        let token = try bench.token()
        #expect(try bench.judge(token) == nil)
        #expect(hits == 0 && bench.cache.size.entries == 1)
        #expect(try bench.judge(token) == nil)
        #expect(hits == 1 && bench.cache.counts.misses == 1)
        // Another token, of the same claims for that matter, is another entry.
        #expect(try bench.judge(bench.token(0, ["client_id": "rule:s"])) == nil)
        #expect(bench.cache.size.entries == 2)
    }

    @Test func `what is remembered is allowed with what the token says`() throws {
        let token = try bench.token(7)
        for _ in 0..<2 {
            let verdict = bench.cached.verdict(
                for: token, requiring: Requirement(scopes: try Fixture.scopes(["a:read"])), presentedBy: nil,
                at: bench.clock.now)
            guard case .allow(let verified) = verdict else {
                Issue.record("denied")
                return
            }
            #expect(verified.subject == "corp:subject-7" && verified.sessionID == VerificationBench.id(7, 2))
            #expect(verified.tokenID == VerificationBench.id(7, 1) && verified.expiry == 1_800_000_900)
        }
        #expect(hits == 1)
    }

    @Test func `a byte changed at any position of a remembered token makes one that is refused`() throws {
        let token = try bench.token()
        #expect(try bench.judge(token) == nil)
        let bytes = Array(token.reveal().utf8)
        for index in bytes.indices {
            for change: UInt8 in [0x01, 0x20] {
                var altered = bytes
                altered[index] ^= change
                let other = SecretText(String(decoding: altered, as: UTF8.self))
                #expect(try bench.judge(other) != nil, "byte \(index)")
            }
        }
        for other in [String(token.reveal().dropLast()), token.reveal() + "A", " " + token.reveal()] {
            #expect(try bench.judge(SecretText(other)) != nil)
        }
        #expect(bench.cache.size.entries == 1 && hits == 0)
        #expect(try bench.judge(token) == nil)
    }

    @Test func `scope, model and certificate are asked of a remembered token each time`() throws {
        let models: JSONValue = [["type": "daypass_models", "models": ["claude-*"]]]
        let fingerprint = CertificateFingerprint(ofDER: [1, 2, 3])
        let token = try bench.token(
            0,
            [
                "authorization_details": models,
                "cnf": GatewayClaims.confirmation(of: fingerprint),
            ])
        func judged(_ scopes: [String], _ models: [ExactString], _ certificate: CertificateFingerprint?) throws
            -> Denial?
        {
            bench.cached.verdict(
                for: token, requiring: Requirement(scopes: try Fixture.scopes(scopes), models: models),
                presentedBy: certificate, at: bench.clock.now
            ).denial
        }
        for _ in 0..<3 {
            #expect(try judged(["a:read"], ["claude-4"], fingerprint) == nil)
            #expect(try judged(["a:admin"], ["claude-4"], fingerprint) == .insufficientScope)
            #expect(try judged(["a:read"], ["gpt-5"], fingerprint) == .insufficientModel)
            #expect(try judged(["a:read"], ["claude-4"], nil) == .token(.certificate))
            let other = CertificateFingerprint(ofDER: [4])
            #expect(try judged(["a:read"], ["claude-4"], other) == .token(.certificate))
        }
        #expect(bench.cache.counts.misses == 1)
    }

    @Test func `a remembered token expires with its last second, and is remembered for a minute more`() async throws {
        let token = try bench.token()
        #expect(try bench.judge(token) == nil)
        bench.clock.now = Fixture.now.addingTimeInterval(899.999)
        #expect(try bench.judge(token) == nil)
        bench.clock.now = Fixture.now.addingTimeInterval(900)
        #expect(try bench.judge(token) == .token(.expired))
        await bench.cache.sweep(keeping: bench.ring, at: 1_800_000_960)
        #expect(bench.cache.size.entries == 1)
        await bench.cache.sweep(keeping: bench.ring, at: 1_800_000_961)
        #expect(bench.cache.size.entries == 0)
        #expect(try bench.judge(token) == .token(.expired))
        #expect(bench.cache.size.entries == 0, "what has expired is not remembered")
    }

    @Test func `a clock that is set back makes neither an expired token of a good one nor the other way round`() throws
    {
        let token = try bench.token()
        for seconds in [0.0, 900, 0, -1, 0, 100_000, 899, -100_000, 1] {
            bench.clock.now = Fixture.now.addingTimeInterval(seconds)
            let (remembered, plain) = (try bench.judge(token), try bench.judgePlainly(token))
            #expect(remembered == plain, "\(seconds)")
        }
    }

    @Test func `what was denied is explained from what is remembered`() throws {
        let token = try bench.token(3)
        for _ in 0..<2 {
            let judgement = bench.cached.judgement(
                on: token, requiring: Requirement(scopes: try Fixture.scopes(["x"])), presentedBy: nil,
                at: bench.clock.now)
            #expect(judgement.claims?.subject == "corp:subject-3")
        }
        bench.revoke(.rule("r"))
        for _ in 0..<2 {
            let judgement = bench.cached.judgement(
                on: token, requiring: Requirement(), presentedBy: nil, at: bench.clock.now)
            #expect(judgement.claims?.rule == "r" && judgement.killer == .rule("r"))
        }
        #expect(hits == 3, "a revoked token stays known, so that showing it again costs no signature")
    }

    @Test func `a token for the broker itself is never remembered`() throws {
        let own: JSONObject = ["aud": .string(VerificationBench.issuer), "scope": "daypass:admin"]
        let token = try bench.token(0, own)
        #expect(try bench.judge(token) == .token(.audience))
        #expect(try bench.cached.claims(of: token, presentedBy: nil, at: bench.clock.now).isForBroker)
        #expect(bench.cache.size.entries == 0)
        #expect(try bench.judge(token) == .token(.audience))
    }

    @Test func `whoever introspects, renews or revokes shares what is remembered`() throws {
        let token = try bench.token()
        #expect(try bench.cached.claims(of: token, presentedBy: nil, at: bench.clock.now).subject == "corp:subject-0")
        #expect(try bench.judge(token) == nil)
        #expect(hits == 1)
        bench.revoke(.subject("corp:subject-0"))
        #expect(throws: UnacceptableGatewayToken.self) {
            try bench.cached.claims(of: token, presentedBy: nil, at: bench.clock.now)
        }
    }

    @Test func `a token longer than any is refused before it is digested, and garbage is not remembered`() throws {
        let long = SecretText(String(repeating: "a", count: CompactJWS.maximumLength + 1))
        #expect(try bench.judge(long) == .token(.malformed))
        #expect(bench.cache.counts.misses == 0)
        for text in ["", "a.b.c", "..", "x"] { #expect(try bench.judge(SecretText(text)) == .token(.malformed)) }
        #expect(bench.cache.size.entries == 0)
    }

    @Test func `bytes and text are judged alike`() throws {
        for number in [1, 2, 1, 2, 3] {
            let bytes = Array(try bench.token(number).reveal().utf8)
            let judgement = bench.cached.judgement(
                on: bytes.span, requiring: Requirement(), presentedBy: nil, from: { nil },
                at: bench.clock.now)
            guard case .allow(let token) = judgement.verdict else {
                Issue.record("denied")
                return
            }
            #expect(token.subject == ExactString("corp:subject-\(number)"))
            let digest = SHA256Digest(of: bytes.span)
            let words = [digest.words.0, digest.words.1, digest.words.2, digest.words.3]
            let inMemory = words.flatMap { word in
                (0..<8).map { UInt8(truncatingIfNeeded: word.littleEndian >> ($0 * 8)) }
            }
            #expect(inMemory == HashAlgorithm.sha256.digest(bytes))
        }
        #expect(hits == 2)
    }

    @Test(arguments: [1000, 1001, 5000, 131_072, 200_000])
    func `no more are remembered than was said`(entries: Int) {
        let cache = VerificationCache(entries: entries)
        #expect(cache.capacity <= entries && cache.capacity > entries - 64)
    }

    @Test func `metrics say what is held and what it was good for`() throws {
        let token = try bench.token()
        for _ in 0..<3 { _ = try bench.judge(token) }
        bench.revoke(.subject("nobody"))
        _ = try bench.judge(token)
        var text = MetricText()
        VerificationCacheMetrics(cache: bench.cache).write(to: &text)
        let lines = String(decoding: text.bytes, as: UTF8.self).split(separator: "\n").filter { !$0.hasPrefix("#") }
        #expect(lines.contains("daypass_verification_cache_entries 1"))
        #expect(lines.contains("daypass_verification_cache_hits_total 3"))
        #expect(lines.contains("daypass_verification_cache_misses_total 1"))
        #expect(lines.contains("daypass_verification_cache_rechecks_total 1"))
        #expect(lines.contains("daypass_verification_cache_capacity 1000"))
        #expect(lines.contains(#"daypass_verification_cache_removals_total{reason="evicted"} 0"#))
        let bytes = try #require(lines.first { $0.hasPrefix("daypass_verification_cache_bytes ") })
        #expect(bytes == "daypass_verification_cache_bytes \(bench.cache.size.bytes + bench.cache.grants.size.bytes)")
    }
}
