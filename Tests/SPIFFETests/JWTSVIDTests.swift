import BrokerTesting
import FoundationEssentials
import JOSE
import OpenSSL
import SPIFFE
import Testing

/// JWT-SVID §2 to §6, and workload identity tokens: checklists 4c and 4d.
@Suite struct JWTSVIDTests {
    let now = ManualClock().now
    let audience: ExactString = "https://daypass.example.com"
    let issuer: TestIssuer

    init() throws {
        issuer = try TestIssuer("unused", algorithm: .ES256, keyID: "k1")
    }

    private var claims: JSONObject {
        [
            "sub": "spiffe://example.org/workload", "aud": ["https://daypass.example.com"],
            "exp": .number(now.timeIntervalSince1970 + 60),
        ]
    }

    private func bundle(_ issuers: TestIssuer..., of domain: TrustDomain = .example) throws -> TrustBundle {
        let keys = issuers.map { JSONValue.object($0.jwk.json.replacing("use", with: "jwt-svid")) }
        return try TrustBundle(parsing: (["keys": .array(keys)] as JSONObject).encoded(), of: domain)
    }

    private func refusal(
        _ token: String, against bundles: TrustBundleSet? = nil, at moment: Date? = nil
    ) throws -> JWTSVIDFailure? {
        let bundles = try bundles ?? TrustBundleSet([bundle(issuer)])
        do throws(JWTSVIDFailure) {
            let token = try UnverifiedJWTSVID(parsing: Array(token.utf8))
            _ = try token.verified(against: bundles, audience: audience, leeway: 30, at: moment ?? now)
            return nil
        } catch {
            #expect(!error.description.isEmpty)
            return error
        }
    }

    @Test func `a token of the trust domain's key proves its SPIFFE ID`() throws {
        let bundle = try bundle(issuer)
        let token = try UnverifiedJWTSVID(parsing: Array(issuer.token(claims).utf8))
        let svid = try token.verified(
            against: TrustBundleSet([bundle]), audience: audience, leeway: 30, at: now)
        #expect(svid.id.text == "spiffe://example.org/workload")
        #expect(svid.audiences == [audience])
        #expect(svid.expiry == now.addingTimeInterval(60))
        #expect(svid.epoch == bundle.epoch)
        #expect(svid.claims["sub"] == "spiffe://example.org/workload")
    }

    @Test(arguments: JWSAlgorithm.allCases)
    func `the algorithms are those of the standard, and EdDSA is none of them`(algorithm: JWSAlgorithm) throws {
        let issuer = try TestIssuer("unused", algorithm: algorithm, keyID: "k1")
        let set = try TrustBundleSet([bundle(issuer)])
        #expect(try refusal(issuer.token(claims), against: set) == (algorithm == .EdDSA ? .algorithm : nil))
    }

    @Test func `alg none, HMAC and another algorithm of the same key are refused`() throws {
        for name in ["none", "HS256", "es256", ""] {
            let header = JSONObject(dictionaryLiteral: ("alg", .string(ExactString(name))), ("kid", "k1"))
            let token = try issuer.token(rawHeader: header.encoded(), rawPayload: claims.encoded())
            #expect(try refusal(token) == .jws(.algorithm))
        }
        #expect(try refusal(issuer.token(claims, header: ["alg": "ES384"])) == .jws(.algorithmDoesNotFitKey))
    }

    @Test func `kid is required, and headers other than alg, kid and typ are refused`() throws {
        #expect(try refusal(issuer.token(claims, withoutHeader: "kid")) == .noKeyID)
        for name: ExactString in ["jwk", "jku", "x5c", "x5t#S256", "cty", "iss", "Alg"] {
            let token = try issuer.token(claims, header: JSONObject(dictionaryLiteral: (name, "x")))
            #expect(try refusal(token) == .headerMember)
        }
        #expect(try refusal(issuer.token(claims, header: ["crit": ["exp"]])) == .jws(.forbiddenHeader("crit")))
    }

    @Test(arguments: ["JWT", "JOSE"]) func `typ may be JWT or JOSE`(type: ExactString) throws {
        #expect(try refusal(issuer.token(claims, header: ["typ": .string(type)])) == nil)
    }

    @Test(arguments: ["wit+jwt", "WIT+JWT", "application/wit+jwt", "at+jwt", "jwt", "dpop+jwt"])
    func `typ may be nothing else, above all no workload identity token`(type: ExactString) throws {
        #expect(try refusal(issuer.token(claims, header: ["typ": .string(type)])) == .type)
        #expect(try refusal(issuer.token(claims, withoutHeader: "typ")) == nil)
    }

    @Test func `sub is a SPIFFE ID, aud and exp are there`() throws {
        let cases: [(ExactString, JSONValue?, JWTSVIDFailure)] = [
            ("sub", nil, .claim("sub")), ("sub", 1, .claim("sub")), ("sub", "alice", .id(.scheme)),
            ("sub", "SPIFFE://example.org/workload", .id(.scheme)),
            ("sub", "spiffe://Example.org/workload", .id(.trustDomainCharacter)), ("aud", nil, .claim("aud")),
            ("aud", [], .claim("aud")), ("aud", "", .claim("aud")), ("aud", [1], .claim("aud")),
            ("aud", ["https://daypass.example.com", ""], .claim("aud")), ("aud", [:], .claim("aud")),
            ("aud", .array(Array(repeating: "a", count: 33)), .claim("aud")), ("exp", nil, .claim("exp")),
            ("exp", "1800000060", .claim("exp")), ("exp", -1, .claim("exp")), ("nbf", "1", .claim("nbf")),
        ]
        for (name, value, reason) in cases {
            #expect(
                try refusal(
                    issuer.token(
                        claims.replacing(name, with: nil).merging(
                            value.map { JSONObject(dictionaryLiteral: (name, $0)) } ?? [:]))) == reason, "\(name)")
        }
        #expect(try refusal(issuer.token(claims.replacing("aud", with: .string(audience)))) == nil)
    }

    @Test func `a token is for us and in time, or refused`() throws {
        let id = try SPIFFEID(parsing: "spiffe://example.org/workload")
        let token = try issuer.token(claims)
        #expect(
            try refusal(issuer.token(claims.replacing("aud", with: "https://daypass.example.com/"))) == .audience(id))
        #expect(try refusal(issuer.token(claims.replacing("aud", with: ["other", .string(audience)]))) == nil)
        #expect(try refusal(token, at: now.addingTimeInterval(89.9)) == nil)
        #expect(try refusal(token, at: now.addingTimeInterval(90)) == .expired(id))
        let later = claims.merging(["nbf": .number(now.timeIntervalSince1970 + 31)])
        #expect(try refusal(issuer.token(later)) == .notYetValid(id))
        #expect(try refusal(issuer.token(later), at: now.addingTimeInterval(1)) == nil)
    }

    @Test func `a key of one trust domain never verifies a subject of another`() throws {
        let other = try TestIssuer("unused", algorithm: .ES256, keyID: "k1")
        let set = try TrustBundleSet([bundle(issuer), bundle(other, of: .domain("other.org"))])
        #expect(try refusal(other.token(claims), against: set) == .jws(.signature))
        let named = other.presenting(keyID: "k2")
        let second = try TrustBundleSet([bundle(issuer), bundle(named, of: .domain("other.org"))])
        let id = try SPIFFEID(parsing: "spiffe://example.org/workload")
        #expect(try refusal(named.token(claims), against: second) == .unknownKey(id))
        let foreign = claims.replacing("sub", with: "spiffe://other.org/workload")
        #expect(try refusal(issuer.token(foreign), against: set) == .jws(.signature))
        #expect(try refusal(other.token(foreign), against: set) == nil)
        let third = try SPIFFEID(parsing: "spiffe://third.org/workload")
        let unknown = claims.replacing("sub", with: "spiffe://third.org/workload")
        #expect(try refusal(issuer.token(unknown), against: set) == .unknownTrustDomain(third))
    }

    @Test func `the key of an X509-SVID authority verifies no JWT-SVID`() throws {
        let root = try TestCA()
        let entry = jwkEntry(root.certificate, root.key.publicKey).merging(["kid": "k1"])
        let bundle = try TrustBundle(parsing: bundleJSON(entry), of: .example)
        #expect(bundle.authorities.count == 1)
        let forger = TestIssuer("unused", algorithm: .ES256, keyID: "k1", key: root.key)
        let id = try SPIFFEID(parsing: "spiffe://example.org/workload")
        #expect(try refusal(forger.token(claims), against: TrustBundleSet([bundle])) == .unknownKey(id))
    }

    @Test func `the JSON serialisation of a JWS and an encrypted token are refused`() throws {
        let token = TokenSegments(try issuer.token(claims))
        let flat: JSONObject = [
            "protected": .string(ExactString(token.header)), "payload": .string(ExactString(token.payload)),
            "signature": .string(ExactString(token.signature)),
        ]
        #expect(try refusal(String(decoding: flat.encoded(), as: UTF8.self)) == .jws(.segments))
        #expect(try refusal("\(token.header).a.b.c.d") == .jws(.segments))
    }
}
