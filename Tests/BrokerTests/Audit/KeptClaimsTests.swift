import Broker
import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import Testing

@Suite struct KeptClaimsTests {
    private let claims: JSONObject = [
        "iss": "i", "sub": "s", "aud": ["a"], "iat": 1, "exp": 2, "jti": "j", "nbf": 0, "ref": "main", "email": "e@x",
        "kubernetes.io": ["namespace": "ml", "pod": ["name": "p"]],
    ]

    private func kept(_ which: AuditConfiguration.Claims, _ claims: JSONObject? = nil) throws -> JSONObject {
        let rules = try Fixture.rules(Fixture.rule(texts: [("ref", ["x"]), ("/kubernetes.io/namespace", ["x"])]))
        return KeptClaims.of(claims ?? self.claims, signedBy: try Fixture.name(), rules: rules, keeping: which)
    }

    @Test func `the registered claims and those that a rule reads are kept`() throws {
        let kept = try kept(.matched).members.map(\.name)
        #expect(kept == ["iss", "sub", "aud", "iat", "exp", "jti", "ref", "kubernetes.io"])
    }

    @Test func `who may act and who acts already, as the issuer says, is kept though no rule reads it`() throws {
        let acting: JSONObject = ["may_act": ["sub": "m"], "act": ["sub": "a", "act": ["sub": "b"]]]
        #expect(try kept(.matched, acting.merging(["azp": "c"])) == acting)
    }

    @Test func `all are kept where that is configured`() throws {
        #expect(try kept(.all) == claims)
    }

    @Test func `a text of more than 256 bytes is kept as its digest, at any depth`() throws {
        let short = String(repeating: "x", count: 256)
        let long = String(repeating: "\u{E9}", count: 129)
        let digest: JSONValue = [
            "sha256": .string(ExactString(Base64URL.encode(HashAlgorithm.sha256.digest(Array(long.utf8))))),
            "bytes": 258,
        ]
        let (shortValue, longValue): (JSONValue, JSONValue) = (.string(ExactString(short)), .string(ExactString(long)))
        let kept = try kept(.all, ["a": shortValue, "b": longValue, "c": [longValue, ["d": longValue]], "e": 1])
        #expect(kept == ["a": shortValue, "b": digest, "c": [digest, ["d": digest]], "e": 1])
    }
}
