@testable import Broker
import Foundation
import JOSE
import SPIFFE
import Testing

/// What is remembered of a token says what the token said.
@Suite struct VerifiedTokenTests {
    private static let fingerprint = String(repeating: "A", count: 42) + "E"

    private static func digest(_ number: Int) -> ExactString {
        ExactString(Base64URL.encode(Array(repeating: UInt8(truncatingIfNeeded: number), count: 32)))
    }

    /// Changes to the claims of a plain token, and whether the token is plain still.
    private static let changes: [(JSONObject, isPlain: Bool)] = [
        ([:], true), (["sub": ""], true), (["sub": "corp:\u{e9}\r\nDaypass-Rule: x%"], true),
        (["rev": 4_294_967_295], true),
        (["rev": 4_294_967_296], false), (["exp": .number(1_800_000_900.5)], false),
        (["iat": .number(1_800_000_000.5)], false),
        (["nbf": 1_799_999_999], false), (["exp": 9_007_199_254_740_991], false), (["exp": 1_700_000_000], false),
        (["iat": -1, "nbf": -1], false), (["iat": 0, "nbf": 0], true), (["jti": "j"], false), (["jti": ""], false),
        (["sid": "s", "lin": ["s"]], false), (["jti": "AAAAAAAAAAAAAAAAAAAAAB"], false),
        (["jti": "AAAAAAAAAAAAAAAAAAAAA="], false), (["jti": "_____________________w"], true),
        (["lin": ["r", .string(VerificationBench.id(0, 2))]], false), (["kids": ["other"]], false),
        (["lin": [.string(VerificationBench.id(7, 1)), .string(VerificationBench.id(0, 2))]], true),
        (["kids": [.string(ExactString(fingerprint))]], true),
        (["kids": [.string(ExactString(fingerprint)), "other"]], false),
        (
            [
                "sub": "", "kids": .array((0..<32).map { .string(digest($0)) }),
                "lin": .array(
                    (0..<40).map { .string(VerificationBench.id($0, 1)) } + [.string(VerificationBench.id(0, 2))]),
                "cnf": ["x5t#S256": .string(digest(99))],
            ], true
        ),
        (["sub": .string(ExactString(String(repeating: "s", count: 16_383)))], true),
        (["sub": .string(ExactString(String(repeating: "s", count: 16_384)))], false),
        (["act": ["sub": "agents:bot", "act": ["sub": "x:y"]]], false),
        (["cnf": ["x5t#S256": .string(ExactString(fingerprint))]], true),
        (["authorization_details": [["type": "daypass_models", "models": ["claude-*", "gpt-5"]]]], true),
        (["scope": ""], true), (["scope": "b a b"], true),
    ]

    @Test(arguments: changes)
    func `nothing of the claims is lost`(changes: JSONObject, isPlain: Bool) throws {
        let json = VerificationBench.claims(0, changes)
        let claims = try #require(GatewayClaims(json, signedBy: "key"))
        let token = VerifiedToken(claims, from: nil)
        let again = token.claims
        #expect(again.subject == claims.subject && token.subject == claims.subject)
        #expect(again.sessionID == claims.sessionID && token.sessionID == claims.sessionID)
        #expect(again.tokenID == claims.tokenID && token.tokenID == claims.tokenID)
        #expect(again.lineage == claims.lineage && again.audience == claims.audience)
        #expect(again.rule == claims.rule && token.rule == claims.rule)
        #expect(again.keyID == "key" && token.keyID == "key" && again.ancestorKeys == claims.ancestorKeys)
        #expect(again.revision == claims.revision && again.actors == claims.actors)
        #expect(again.actor?.encoded() == claims.actor?.encoded())
        #expect(again.scope == claims.scope && token.scope == claims.scope)
        #expect(again.models == claims.models && token.models == claims.models)
        #expect(again.binding == claims.binding && token.binding == claims.binding)
        #expect(again.issuedAt == claims.issuedAt && token.issuedAt == claims.issuedAt)
        #expect(again.notBefore == claims.notBefore && token.notBefore == claims.notBefore)
        #expect(again.expiry == claims.expiry && token.expiry == claims.expiry)
        #expect(token.isPlain == isPlain)
        let other = try #require(CertificateFingerprint(bytes: Array(repeating: 7, count: 32)))
        for certificate in [nil, claims.binding, other] {
            #expect(token.mayBeUsed(with: certificate) == claims.mayBeUsed(with: certificate))
        }
    }

    @Test(arguments: changes.filter { !$0.0.members.contains { $0.name == "exp" || $0.name == "iat" } })
    func `the answer to a gateway is written as it would be put together`(changes: JSONObject, isPlain: Bool) throws {
        let token = try VerificationBench.verified(0, changes)
        let expected = [
            "Daypass-Subject: \(HeaderValue.encode(token.subject))",
            "Daypass-Session: \(HeaderValue.encode(token.sessionID))",
            "Daypass-Rule: \(HeaderValue.encode(token.rule))",
            "Daypass-Scope: \(Scope.text(token.scope))", "Daypass-Expires: 1800000900",
        ].map { $0 + "\r\n" }.joined()
        let capacity = token.answerFieldsCapacity
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 1)
        defer { buffer.deallocate() }
        let count = token.writeAnswerFields(into: buffer)
        #expect(count <= capacity)
        #expect(String(decoding: buffer[..<count], as: UTF8.self) == expected)
    }

    @Test func `identifiers of any bytes are written as they were read`() throws {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<500 {
            let bytes = (0..<16).map { _ in UInt8.random(in: 0...255, using: &random) }
            let id = ExactString(Base64URL.encode(bytes))
            let token = try VerificationBench.verified(
                0, ["sid": .string(id), "lin": [.string(id)], "jti": .string(id)])
            #expect(token.sessionID == id && token.tokenID == id)
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: token.answerFieldsCapacity, alignment: 1)
            defer { buffer.deallocate() }
            let count = token.writeAnswerFields(into: buffer)
            #expect(String(decoding: buffer[..<count], as: UTF8.self).contains("\r\nDaypass-Session: \(id)\r\n"))
        }
    }

    @Test func `a token that the mint made, with a subject of 49 bytes, takes 128 bytes beside its entry of 66`() throws
    {
        let grants = VerifiedGrants()
        let subject = ExactString("github:" + String(repeating: "s", count: 42))
        let token = try VerificationBench.verified(0, ["sub": .string(subject)], from: grants)
        #expect(token.cost == 128)
        #expect(VerificationShard.overhead == 66)
    }

    @Test func `tokens that allow the same share what says so, while any of them is there`() throws {
        let grants = VerifiedGrants()
        var tokens = try (0..<10).map { try VerificationBench.verified($0, from: grants) }
        #expect(tokens.allSatisfy { $0.grant === tokens[0].grant })
        let other = try VerificationBench.verified(11, ["scope": "a:read"], from: grants)
        #expect(other.grant !== tokens[0].grant)
        #expect(grants.size.count == 2)
        tokens = []
        grants.forgetUnused()
        #expect(grants.size.count == 1)
        #expect(grants.size.bytes == other.grant.cost)
    }

    @Test func `grants are bounded by count, by bytes and for each rule, and beyond that each token has its own`()
        throws
    {
        let grants = VerifiedGrants()
        var tokens: [VerifiedToken] = []
        let rules = VerifiedGrants.maximumCount / VerifiedGrants.maximumPerRule
        for number in 0..<VerifiedGrants.maximumCount + 100 {
            let scope = ExactString("a:s\(number)")
            let rule = ExactString("rule-\(number % (rules + 1))")
            tokens.append(
                try VerificationBench.verified(0, ["scope": .string(scope), "rule": .string(rule)], from: grants))
        }
        #expect(grants.size.count == VerifiedGrants.maximumCount)
        let last = try #require(tokens.last)
        #expect(last.scope.map(\.text) == [ExactString("a:s\(VerifiedGrants.maximumCount + 99)")])
        #expect(last.cost > tokens[0].cost + 500, "its bytes are its own then")
        let large = VerifiedGrants()
        let padding = String(repeating: "x", count: 100)
        tokens = []
        for number in 0..<1500 {
            let scope = (0..<60).map { "\(padding)\(number)-\($0)" }.joined(separator: " ")
            let rule = ExactString("rule-\(number % 10)")
            tokens.append(
                try VerificationBench.verified(
                    0, ["scope": .string(ExactString(scope)), "rule": .string(rule)], from: large))
        }
        #expect(large.size.bytes <= VerifiedGrants.maximumBytes && large.size.count < 1500)
    }

    @Test func `who has tokens with every part of his scopes takes no more than his rule's part of the grants`() throws
    {
        let grants = VerifiedGrants()
        var tokens = try (0..<VerifiedGrants.maximumPerRule + 50).map { number in
            try VerificationBench.verified(number, ["scope": .string(ExactString("a:s\(number)"))], from: grants)
        }
        #expect(grants.size.count == VerifiedGrants.maximumPerRule)
        #expect(tokens.filter(\.grant.isShared).count == VerifiedGrants.maximumPerRule)
        let other = try VerificationBench.verified(0, ["rule": "other"], from: grants)
        #expect(other.grant.isShared)
        // Of his, there is room again once they are gone.
        tokens.removeAll()
        grants.forgetUnused()
        #expect(try VerificationBench.verified(1, ["scope": "a:new"], from: grants).grant.isShared)
    }
}
