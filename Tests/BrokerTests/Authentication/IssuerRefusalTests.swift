import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// Whose token it is and for whom: `iss`, `aud`, `sub`.
@Suite struct IssuerRefusalTests {
    private func reason(_ claims: JSONObject) async throws -> AuthenticationFailure.Reason? {
        let issuer = try Fixture.issuer
        let token = try issuer.token(issuer.claims(at: Fixture.now).merging(claims))
        return await refusal(of: token, by: try Fixture.authenticator(issuer))
    }

    @Test(arguments: [
        "https://issuer.example.com/", "https://issuer.example.co", "https://issuer.example.com.evil.example",
        "https://ISSUER.example.com", "HTTPS://issuer.example.com", "http://issuer.example.com", "issuer.example.com",
        "https://issuer.example.com.", "https://issuer.example.com:443", "https://issuer.example.com#",
        "https://issuer.example.com?", "https://issuer.example.com ", " https://issuer.example.com",
        "https://issuer.example.com\n", "https://issuer.example.com\0", "https://user@issuer.example.com",
        "https://xn--issuer-.example.com", "https://\u{456}ssuer.example.com", "https://issuer\u{3002}example.com",
        "http://127.0.0.1:8080/x", "http://169.254.169.254/latest", "file:///etc/passwd", "",
    ])
    func `an iss that is nearly the configured one is unknown`(iss: String) async throws {
        #expect(try await reason(["iss": .string(ExactString(iss))]) == .unknownIssuer)
    }

    @Test(
        arguments: [
            .null, true, 1, ["https://issuer.example.com"], ["iss": "https://issuer.example.com"],
        ] as [JSONValue])
    func `an iss that is no text is refused`(iss: JSONValue) async throws {
        #expect(try await reason(["iss": iss]) == .claim("iss"))
    }

    @Test func `an iss that is canonically equivalent but of other bytes is unknown`() async throws {
        let issuer = try Fixture.quick.presenting(issuer: "https://caf\u{E9}.example")
        let authenticator = try Fixture.authenticator(issuer)
        let claims = issuer.claims(at: Fixture.now)
        #expect(await refusal(of: try issuer.token(claims), by: authenticator) == nil)
        let other = try issuer.token(claims.replacing("iss", with: "https://cafe\u{301}.example"))
        #expect(await refusal(of: other, by: authenticator) == .unknownIssuer)
    }

    private static let badAudiences: [JSONValue] = [
        .null, 1, true, [:], ["https://daypass.example.com": true], [], [1], ["https://daypass.example.com", 1],
        ["https://daypass.example.com", .null], [["https://daypass.example.com"]],
        .array((0..<32).map { .string(ExactString("https://\($0)")) } + ["https://daypass.example.com"]),
    ]

    @Test(arguments: badAudiences)
    func `an aud that is no text and no list of 1 to 32 texts is refused`(audience: JSONValue) async throws {
        #expect(try await reason(["aud": audience]) == .claim("aud"))
    }

    @Test func `a token without aud, iss or sub is refused`() async throws {
        let issuer = try Fixture.issuer
        for name: ExactString in ["aud", "iss", "sub", "exp", "iat"] {
            let token = try issuer.token(issuer.claims(at: Fixture.now).replacing(name, with: nil))
            #expect(await refusal(of: token, by: try Fixture.authenticator(issuer)) == .claim(name.string))
        }
    }

    private static let foreignAudiences: [JSONValue] = [
        "", [""], "https://daypass.example.com/", "https://DAYPASS.example.com", "https://daypass.example.co",
        "https://daypass.example.com https://other", "sts.amazonaws.com", ["https://other.example.com", ""],
        "https://daypass.example.com\n", "*",
    ]

    @Test(arguments: foreignAudiences)
    func `a token for somebody else is refused`(audience: JSONValue) async throws {
        #expect(try await reason(["aud": audience]) == .audience)
    }

    @Test func `our audience among 32 is enough`() async throws {
        let others = (0..<31).map { JSONValue.string(ExactString("https://\($0)")) }
        #expect(try await reason(["aud": .array(others + ["https://daypass.example.com"])]) == nil)
    }

    @Test(
        arguments: [
            .null, 7, true, ["alice"], [:], "", "a\0b", "alice\n", "a\u{1B}[2J", "\u{7F}",
            .string(ExactString(String(repeating: "s", count: 1025))),
        ] as [JSONValue])
    func `a sub that is empty, too long, no text or has control characters is refused`(subject: JSONValue) async throws
    {
        #expect(try await reason(["sub": subject]) == .claim("sub"))
    }

    @Test(arguments: [
        "repo:acme/app:ref:refs/heads/main", "corp:alice", "spiffe://example.org/x", "a b", "../..", "${x}", "\u{E9}",
    ])
    func `a sub with colons stays behind its issuer's name`(subject: String) async throws {
        let issuer = try Fixture.issuer
        let token = try issuer.token(issuer.claims(subject: subject, at: Fixture.now))
        let verified = try await Fixture.authenticator(issuer).authenticate(SecretText(token), at: Fixture.now)
        #expect(verified.identity == ExactString("corp:\(subject)"))
        #expect(verified.issuer == (try Fixture.name()))
    }

    @Test func `a logout token is refused, whatever is in it`() async throws {
        for events: JSONValue in [
            ["http://schemas.openid.net/event/backchannel-logout": [:]], [:], .null, "x",
        ] {
            #expect(try await reason(["events": events]) == .logoutToken)
        }
    }

    @Test func `a gateway token of our own is no proof of identity`() async throws {
        let ring = try Fixture.keyRing()
        let issuer = try Fixture.issuer
        let mint = TokenMint(
            issuer: "https://daypass.example.com", state: { BrokerState(keyRing: ring) }, random: SystemRandom())
        let rules = try Fixture.rules(Fixture.rule(texts: [("sub", ["alice"])]))
        let subject = try await Fixture.subject()
        let grant = try #require(rules.match(subject, naming: nil).grant)
        let (token, _) = try mint.mint(subject, grant, keeping: [:], at: Fixture.now)
        #expect(
            await refusal(of: token.text.reveal(), by: try Fixture.authenticator(issuer)) == .unknownIssuer)
    }
}

/// Several issuers in one authenticator: none can speak for another.
@Suite struct SeveralIssuersTests {
    @Test func `a key of one issuer never signs for another, whatever its id`() async throws {
        let victim = try Fixture.issuer
        let thief = try Fixture.otherIssuer.presenting(keyID: victim.keyID)
        let authenticator = JWTAuthenticator([
            try Fixture.trusted(victim), try Fixture.trusted(thief, Fixture.configuration(thief, name: "other")),
        ])
        let own = try thief.token(thief.claims(at: Fixture.now))
        #expect(await refusal(of: own, by: authenticator) == nil)
        let forged = try thief.token(victim.claims(at: Fixture.now))
        #expect(await refusal(of: forged, by: authenticator) == .jws(.signature))
        let unknown = try Fixture.otherIssuer.token(victim.claims(at: Fixture.now))
        #expect(await refusal(of: unknown, by: authenticator) == .unknownKey)
    }

    private func twins() throws -> (JWTAuthenticator, a: TestIssuer, b: TestIssuer) {
        let url = "https://kubernetes.default.svc.cluster.local"
        let a = try Fixture.issuer.presenting(issuer: url, keyID: "k")
        let b = try Fixture.otherIssuer.presenting(issuer: url, keyID: "k")
        let authenticator = JWTAuthenticator([
            try Fixture.trusted(a, Fixture.configuration(a, name: "cluster-a", audience: "https://daypass/a")),
            try Fixture.trusted(b, Fixture.configuration(b, name: "cluster-b", audience: "https://daypass/b")),
        ])
        return (authenticator, a, b)
    }

    @Test func `two issuers of one iss are told apart by the audience`() async throws {
        let (authenticator, a, b) = try twins()
        for (issuer, audience, identity) in [
            (a, "https://daypass/a", "cluster-a:alice" as ExactString), (b, "https://daypass/b", "cluster-b:alice"),
        ] {
            let token = try issuer.token(issuer.claims(audience: audience, at: Fixture.now))
            let subject = try await authenticator.authenticate(SecretText(token), at: Fixture.now)
            #expect(subject.identity == identity)
        }
    }

    @Test func `the audience of the other of two issuers chooses the other's keys`() async throws {
        let (authenticator, a, _) = try twins()
        let token = try a.token(a.claims(audience: "https://daypass/b", at: Fixture.now))
        #expect(await refusal(of: token, by: authenticator) == .jws(.signature))
    }

    @Test(
        arguments: [
            "https://daypass.example.com", ["https://daypass/a", "https://daypass/b"], [], 7, .null,
        ] as [JSONValue])
    func `an audience that does not tell which of two issuers is meant is refused`(audience: JSONValue) async throws {
        let (authenticator, a, _) = try twins()
        let token = try a.token(a.claims(at: Fixture.now).replacing("aud", with: audience))
        #expect(await refusal(of: token, by: authenticator) == .ambiguousIssuer)
    }

    @Test func `without an issuer every token is unknown`() async throws {
        let issuer = try Fixture.issuer
        let token = try issuer.token(issuer.claims(at: Fixture.now))
        #expect(await refusal(of: token, by: JWTAuthenticator([])) == .unknownIssuer)
    }
}
