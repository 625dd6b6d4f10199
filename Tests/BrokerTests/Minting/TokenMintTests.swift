import Broker
import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import Testing

@Suite struct TokenMintTests {
    private func grant(_ terms: GrantTerms) async throws -> (VerifiedSubject, Grant) {
        let subject = try await Fixture.subject()
        let rules = try Fixture.rules(Fixture.rule("ci-main", texts: [("sub", ["alice"])], terms: terms))
        return (subject, try #require(rules.match(subject, naming: nil).grant))
    }

    private func mint(_ ring: KeyRing, random: any RandomSource = SystemRandom()) -> TokenMint {
        TokenMint(issuer: "https://daypass.example.com", state: { BrokerState(keyRing: ring) }, random: random)
    }

    private func claims(_ token: GatewayToken, _ ring: KeyRing) throws -> JSONObject {
        let jws = try CompactJWS(parsing: Array(token.text.reveal().utf8))
        let keyID = try #require(jws.header.keyID)
        let key = try #require(try JWKSet(parsing: ring.jwks).keys[keyID])
        return try JSONReader.readObject(try jws.verified(with: key).payload)
    }

    @Test(arguments: [JWSAlgorithm.ES256, .EdDSA])
    func `a token carries every claim, and verifies with the published key`(algorithm: JWSAlgorithm) async throws {
        let ring = try Fixture.keyRing(algorithm: algorithm)
        let (subject, grant) = try await grant(
            Fixture.terms(scope: ["anthropic:messages", "b"], models: ["claude-*", #"a\*b"#]))
        let (token, session) = try mint(ring).mint(
            subject, grant, keeping: ["sub": "alice"], at: Fixture.now.addingTimeInterval(0.9))
        let claims = try claims(token, ring)
        let expected: JSONObject = [
            "iss": "https://daypass.example.com", "sub": "corp:alice", "aud": "https://gateway.example.com",
            "iat": 1_800_000_000, "nbf": 1_800_000_000, "exp": 1_800_000_900, "jti": .string(token.id),
            "sid": .string(session.id), "lin": [.string(session.id)], "rev": 0,
            "client_id": "rule:ci-main", "scope": "anthropic:messages b", "rule": "ci-main",
            "authorization_details": [["type": "daypass_models", "models": ["claude-*", #"a\*b"#]]],
        ]
        #expect(claims == expected)
        let header = try JSONReader.readObject(
            try Base64URL.decode(ExactString(TokenSegments(token.text.reveal()).header)))
        #expect(
            header == [
                "alg": .string(ExactString(algorithm.rawValue)), "kid": .string(ring.active.jwk.keyID), "typ": "at+jwt",
            ])
        #expect(try Base64URL.decode(token.id).count == 16)
        #expect(try Base64URL.decode(session.id).count == 16)
        #expect(token.id != session.id)
        #expect(token.lifetime == 900)
        #expect(token.expiry == Fixture.now.addingTimeInterval(900))
        #expect(session.subject == "corp:alice")
        #expect(session.rule == "ci-main")
        #expect(session.issuer == subject.issuer)
        #expect(session.claims == ["sub": "alice"])
    }

    @Test func `a grant that does not speak of models makes a token that does not`() async throws {
        let ring = try Fixture.keyRing()
        let (subject, grant) = try await grant(Fixture.terms())
        let (token, _) = try mint(ring).mint(subject, grant, keeping: [:], at: Fixture.now)
        #expect(try claims(token, ring)["authorization_details"] == nil)
    }

    @Test(
        arguments: [
            (Duration.seconds(900), nil, 900, 900.0), (.seconds(1), nil, 1, 1), (.seconds(86400), nil, 86400, 86400),
            (.seconds(900), .seconds(21600), 900, 21600), (.milliseconds(1900), .seconds(10), 1, 10),
            (.seconds(10), .milliseconds(10_900), 10, 10),
        ] as [(Duration, Duration?, Int, Double)])
    func `a token lives as long as its ttl, its session as long as max_session`(
        timeToLive: Duration, maximumSession: Duration?, lifetime: Int, session: Double
    ) async throws {
        let ring = try Fixture.keyRing()
        let (subject, grant) = try await grant(
            Fixture.terms(timeToLive: timeToLive, maximumSession: maximumSession))
        let (token, record) = try mint(ring).mint(subject, grant, keeping: [:], at: Fixture.now)
        #expect(token.lifetime == lifetime)
        #expect(record.start == Fixture.now)
        #expect(record.end == Fixture.now.addingTimeInterval(session))
        #expect(token.expiry <= record.end)
    }

    @Test func `a narrowed grant makes a token of the narrower scope and the chosen audience`() async throws {
        let ring = try Fixture.keyRing()
        let (subject, grant) = try await grant(
            Fixture.terms(scope: ["a", "b", "c"], audiences: ["https://one", "https://two"]))
        let narrowed = try grant.narrowed(toScope: Fixture.scopes(["c", "a"]), targets: ["https://two"])
        let (token, _) = try mint(ring).mint(subject, narrowed, keeping: [:], at: Fixture.now)
        let claims = try claims(token, ring)
        #expect(claims["scope"] == "a c")
        #expect(claims["aud"] == "https://two")
    }

    @Test func `a thousand tokens have two thousand ids`() async throws {
        let ring = try Fixture.keyRing()
        let (subject, grant) = try await grant(Fixture.terms())
        var ids: Set<ExactString> = []
        for _ in 0..<1000 {
            let (token, session) = try mint(ring).mint(subject, grant, keeping: [:], at: Fixture.now)
            ids.formUnion([token.id, session.id])
        }
        #expect(ids.count == 2000)
        #expect(ids.allSatisfy { $0.utf8.count == 22 })
    }

    @Test(arguments: [1, 2])
    func `without randomness there is no token`(failingCall: Int) async throws {
        let ring = try Fixture.keyRing()
        let (subject, grant) = try await grant(Fixture.terms())
        let mint = mint(ring, random: ScriptedRandom(failingFromCall: failingCall))
        #expect(throws: (any Error).self) { try mint.mint(subject, grant, keeping: [:], at: Fixture.now) }
    }

    @Test func `a subject with quotes, escapes and any script comes through unchanged`() async throws {
        let ring = try Fixture.keyRing()
        let hostile = #"a"b\c,"rule":"admin" \u0022 \#u{1F600}\#u{2028}e\#u{301}"#
        let subject = try await Fixture.subject(["sub": .string(ExactString(hostile))])
        let rules = try Fixture.rules(Fixture.rule(texts: [("sub", ["**"])]))
        let grant = try #require(rules.match(subject, naming: nil).grant)
        let (token, _) = try mint(ring).mint(subject, grant, keeping: [:], at: Fixture.now)
        #expect(try claims(token, ring)["sub"] == .string(ExactString("corp:\(hostile)")))
        #expect(try claims(token, ring)["rule"] == "ci-main")
    }

    @Test func `the largest grant and the longest subject still make a token that we accept`() async throws {
        let ring = try Fixture.keyRing()
        let scope = (0..<16).map { "\($0)".padding(toLength: 128, withPad: "s", startingAt: 0) }
        let models = (0..<4).map { "\($0)" + String(repeating: "\\\\", count: 255) }
        let terms = try Fixture.terms(scope: scope, models: models)
        let subject = try await Fixture.subject(["sub": .string(ExactString(String(repeating: "\"", count: 1024)))])
        let rules = try Fixture.rules(
            Fixture.rule(String(repeating: "\\", count: 128), texts: [("sub", ["**"])], terms: terms))
        let grant = try #require(rules.match(subject, naming: nil).grant)
        let (token, _) = try mint(ring).mint(subject, grant, keeping: [:], at: Fixture.now)
        let verifier = TokenVerifier(
            tokens: TokenConfiguration(issuer: "https://daypass.example.com", audiences: [Fixture.gateway]),
            policy: VerifyConfiguration(), state: StateHolder(BrokerState(keyRing: ring)))
        let verdict = verifier.verdict(
            for: token.text, requiring: Requirement(scopes: try Fixture.scopes(scope)), presentedBy: nil,
            at: Fixture.now)
        guard case .allow = verdict else {
            Issue.record("\(verdict)")
            return
        }
    }

    @Test func `the token cannot be printed`() async throws {
        let ring = try Fixture.keyRing()
        let (subject, grant) = try await grant(Fixture.terms())
        let (token, _) = try mint(ring).mint(subject, grant, keeping: [:], at: Fixture.now)
        #expect(!"\(token)".contains("eyJ"))
        #expect(!String(reflecting: token).contains(TokenSegments(token.text.reveal()).signature))
    }
}
