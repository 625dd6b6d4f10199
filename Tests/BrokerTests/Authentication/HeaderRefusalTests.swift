import Broker
import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import Testing

/// A token is refused by its header alone, or by its header against the issuer's list and keys.
@Suite struct HeaderRefusalTests {
    private func reason(_ header: JSONObject, without: ExactString? = nil) async throws -> AuthenticationFailure.Reason?
    {
        let issuer = try Fixture.issuer
        let header = issuer.header.merging(header).replacing(without ?? "none of them", with: nil)
        let token = try issuer.token(
            rawHeader: header.encoded(), rawPayload: issuer.claims(at: Fixture.now).encoded())
        return await refusal(of: token, by: try Fixture.authenticator(issuer))
    }

    @Test(arguments: ["JWT", "jwt", "Jwt", "at+jwt", "AT+JWT", "application/at+jwt"])
    func `an acceptable typ is accepted in any case`(type: String) async throws {
        #expect(try await reason(["typ": .string(ExactString(type))]) == nil)
    }

    @Test func `typ may be absent`() async throws {
        #expect(try await reason([:], without: "typ") == nil)
    }

    @Test(arguments: [
        "wit+jwt", "dpop+jwt", "logout+jwt", "JOSE", "JWE", "jwt+at", "application/jwt", "JWT ", " JWT", "secevent+jwt",
        "oauth-authz-req+jwt", "at+jwt;x=y", "J\u{2009}WT", "JW\u{422}",
    ])
    func `a token of another typ is refused`(type: String) async throws {
        #expect(try await reason(["typ": .string(ExactString(type))]) == .type)
    }

    @Test(
        arguments: [
            ("typ", ["JWT"] as JSONValue), ("typ", true), ("typ", .null), ("typ", ""), ("typ", "JWT\0"),
            ("kid", 7), ("kid", .null), ("kid", ["a"]), ("kid", ""), ("kid", "a\0b"), ("kid", "a\nb"),
            ("cty", "JWT"), ("cty", "jwt"), ("cty", 1), ("crit", ["x"]), ("crit", []), ("crit", "x"), ("crit", ["alg"]),
            ("crit", .null), ("crit", ["b64"]), ("b64", false), ("b64", true), ("zip", "DEF"), ("zip", .null),
        ] as [(ExactString, JSONValue)])
    func `a header member that changes the meaning, or of the wrong type, is refused`(
        name: ExactString, value: JSONValue
    ) async throws {
        #expect(try await reason([name: value]) == .jws(.forbiddenHeader(name.string)))
    }

    @Test func `a key id of 64 KiB is refused for its size`() async throws {
        let long = JSONValue.string(ExactString(String(repeating: "k", count: 65_536)))
        #expect(try await reason(["kid": long]) == .jws(.tooLong))
        let longer = JSONValue.string(ExactString(String(repeating: "k", count: 1025)))
        #expect(try await reason(["kid": longer]) == .jws(.forbiddenHeader("kid")))
    }

    @Test func `a token without a key id is refused, also when the issuer has but one key`() async throws {
        #expect(try await reason([:], without: "kid") == .noKeyID)
    }

    @Test(arguments: [
        "../../dev/null", "' OR 1=1 --", "http://127.0.0.1:1/jwks", "file:///etc/passwd", "default", "0", "*",
        "\u{202E}kid", "${jndi:ldap://x}",
    ])
    func `a hostile key id is just an unknown one`(keyID: String) async throws {
        #expect(try await reason(["kid": .string(ExactString(keyID))]) == .unknownKey)
    }

    @Test func `a key id that only looks the same is another`() async throws {
        let issuer = try Fixture.issuer.presenting(keyID: "caf\u{E9}")
        let authenticator = try Fixture.authenticator(issuer)
        let claims = issuer.claims(at: Fixture.now)
        #expect(await refusal(of: try issuer.token(claims), by: authenticator) == nil)
        let other = try issuer.token(claims, header: ["kid": "cafe\u{301}"])
        #expect(await refusal(of: other, by: authenticator) == .unknownKey)
    }

    @Test(arguments: [
        "none", "None", "NONE", "nOnE", "", "HS256", "HS512", "rs256", "RS1", "ES256K", "dir", "RSA-OAEP",
        "PBES2-HS256+A128KW",
    ])
    func `no name but those of our own list is an algorithm, whatever the signature`(name: String) async throws {
        let issuer = try Fixture.issuer
        #expect(try await reason(["alg": .string(ExactString(name))]) == .jws(.algorithm))
        var segments = TokenSegments(
            try issuer.token(issuer.claims(at: Fixture.now), header: ["alg": .string(ExactString(name))]))
        segments.signature = ""
        let authenticator = try Fixture.authenticator(issuer)
        #expect([.jws(.algorithm), .jws(.segments)].contains(await refusal(of: segments.token, by: authenticator)))
    }

    @Test func `an alg that is missing or no text is refused`() async throws {
        #expect(try await reason([:], without: "alg") == .jws(.algorithm))
        for value: JSONValue in [.null, 256, true, ["RS256"], ["RS256": "RS256"]] {
            #expect(try await reason(["alg": value]) == .jws(.algorithm))
        }
    }

    @Test(arguments: [JWSAlgorithm.RS384, .RS512, .PS256, .ES256, .EdDSA])
    func `an algorithm that is not on the issuer's list is refused before its signature is checked`(
        algorithm: JWSAlgorithm
    ) async throws {
        #expect(try await reason(["alg": .string(ExactString(algorithm.rawValue))]) == .algorithm)
    }

    @Test(arguments: [JWSAlgorithm.RS384, .PS256, .ES256, .EdDSA])
    func `an algorithm on the list that is not the key's is refused`(algorithm: JWSAlgorithm) async throws {
        let issuer = try Fixture.issuer
        let configuration = try Fixture.configuration(issuer, algorithms: Set(JWSAlgorithm.allCases))
        let token = try issuer.token(
            issuer.claims(at: Fixture.now), header: ["alg": .string(ExactString(algorithm.rawValue))])
        let authenticator = try Fixture.authenticator(issuer, configuration)
        #expect(await refusal(of: token, by: authenticator) == .jws(.algorithmDoesNotFitKey))
    }

    @Test func `the issuer's own signature under another algorithm than the key is published for is refused`()
        async throws
    {
        let issuer = try Fixture.issuer
        let configuration = try Fixture.configuration(issuer, algorithms: [.RS256, .PS256])
        let token = try issuer.presenting(algorithm: .PS256).token(issuer.claims(at: Fixture.now))
        let authenticator = try Fixture.authenticator(issuer, configuration)
        #expect(await refusal(of: token, by: authenticator) == .jws(.algorithmDoesNotFitKey))
    }

    @Test(arguments: JWSAlgorithm.allCases)
    func `each algorithm authenticates where it is on the list`(algorithm: JWSAlgorithm) async throws {
        let issuer = try TestIssuer(algorithm: algorithm)
        let token = try issuer.token(issuer.claims(at: Fixture.now))
        #expect(await refusal(of: token, by: try Fixture.authenticator(issuer)) == nil)
    }

    @Test func `a key that comes with the token is never used`() async throws {
        let (issuer, thief) = (try Fixture.issuer, try TestIssuer(algorithm: .RS256, keyID: try Fixture.issuer.keyID))
        let authenticator = try Fixture.authenticator(issuer)
        let claims = issuer.claims(at: Fixture.now)
        for header: JSONObject in [
            ["jwk": .object(thief.jwk.json)], ["jku": "https://evil.example/jwks"], ["x5u": "https://evil.example/c"],
            ["x5c": ["MIIB"]], ["x5t": "abc"],
        ] {
            #expect(await refusal(of: try thief.token(claims, header: header), by: authenticator) == .jws(.signature))
            // Beside a good signature they are only noise.
            #expect(await refusal(of: try issuer.token(claims, header: header), by: authenticator) == nil)
        }
    }
}
