import Broker
import BrokerTesting
import Foundation
import JOSE
import SPIFFE
import Testing

@Suite struct `A JWT-SVID as a subject token` {
    @Test func `is exchanged without an iss, without iat and with an iss that nobody configured`() async throws {
        let bench = try SVIDBench()
        let now = bench.clock.now
        let plain = try await bench.opened(bench.domain.token(at: now))
        #expect(try bench.payload(plain)["sub"] == "spiffe://prod.example.com/ns/ml/sa/scorer")
        let withoutTime: JSONObject = [
            "sub": .string(bench.domain.id("/ns/ml/sa/b")), "aud": .string(TestTrustDomain.audience),
            "exp": .number(now.timeIntervalSince1970 + 300),
        ]
        #expect(try await bench.refusal(bench.domain.signer.token(withoutTime)) == nil)
        let spire = try bench.domain.token(at: now, ["iss": "https://spire.example.com"])
        #expect(try await bench.refusal(spire) == nil)
    }

    @Test func `whose iss is a configured issuer's is that issuer's, whatever its sub says`() async throws {
        let bench = try SVIDBench()
        let claims: JSONObject = ["iss": .string(ExactString(bench.issuer.issuer))]
        // Signed by the trust domain: the issuer has no such key.
        #expect(try await bench.refusal(bench.domain.token(at: bench.clock.now, claims)) == "subjectToken: ")
        // Signed by the issuer: it vouches for a text, under its own name.
        let id = bench.domain.id("/ns/ml/sa/scorer")
        let token = try bench.issuer.token(
            bench.issuer.claims(subject: id.string, at: bench.clock.now))
        let response = try await bench.opened(token)
        #expect(try bench.payload(response)["sub"]?.string == ExactString("corp:\(id)"))
        #expect(try bench.payload(response)["rule"] == "corp")
    }

    @Test func `is verified by the keys of its own trust domain alone`() async throws {
        let bench = try SVIDBench()
        let (now, domain, other) = (bench.clock.now, bench.domain, bench.other)
        // By another trusted domain, under its own kid and under the kid of the right one.
        #expect(try await bench.refusal(domain.token(at: now, by: other.signer)) == "subjectToken: ")
        let disguised = other.signer.presenting(keyID: domain.signer.keyID)
        #expect(try await bench.refusal(domain.token(at: now, by: disguised)) == "subjectToken: ")
        // By an issuer that is trusted for OIDC.
        #expect(try await bench.refusal(domain.token(at: now, by: bench.issuer)) == "subjectToken: ")
        #expect(bench.store.events.isEmpty)
    }

    @Test func `of a trust domain that is not configured is refused before any cryptography`() async throws {
        let stranger = try TestTrustDomain("stranger.example.com")
        let bench = try SVIDBench()
        #expect(try await bench.refusal(stranger.token(at: bench.clock.now)) == "subjectToken: ")
        #expect(bench.store.events.isEmpty)
    }

    @Test(
        arguments: [
            (["aud": "https://elsewhere.example.com"], "audience"), (["exp": 1_799_999_900], "expired"),
            (["nbf": 1_800_000_900], "not_yet_valid"), (["nbf": "now"], "claim"), (["iat": "now"], "claim"),
            (["iat": 1_800_000_100], "not_yet_valid"), (["iat": 1_799_990_000], "lifetime"),
            (["exp": 1_800_010_000], "lifetime"), (["events": [:]], "logout_token"),
        ] as [(JSONObject, String)])
    func `that is signed and not acceptable is refused on the record of its id`(
        claims: JSONObject, reason: String
    ) async throws {
        let bench = try SVIDBench()
        let token = try bench.domain.token(at: bench.clock.now, claims)
        #expect(try await bench.refusal(token) == "subjectToken: \(reason)")
        let event = try #require(bench.store.events.first)
        #expect(event.issuer?.text == "spiffe://prod.example.com")
        #expect(event.subject == "spiffe://prod.example.com/ns/ml/sa/scorer")
    }

    @Test func `without iat may not have longer to live than one with it`() async throws {
        let bench = try SVIDBench(maximumLifetime: .seconds(300))
        let now = bench.clock.now.timeIntervalSince1970
        func refusal(endingIn seconds: Double) async throws -> String? {
            let claims: JSONObject = [
                "sub": .string(bench.domain.id("/ns/ml/sa/b")), "aud": .string(TestTrustDomain.audience),
                "exp": .number(now + seconds),
            ]
            return try await bench.refusal(bench.domain.signer.token(claims))
        }
        #expect(try await refusal(endingIn: 330) == nil)
        #expect(try await refusal(endingIn: 331) == "subjectToken: lifetime")
    }

    @Test(
        arguments: [
            ["typ": "wit+jwt"], ["typ": "at+jwt"], ["cty": "JWT"], ["jku": "https://evil.example.com"], ["x5c": []],
            ["jwk": [:]],
        ] as [JSONObject])
    func `with a header that its standard does not have is refused`(header: JSONObject) async throws {
        let bench = try SVIDBench()
        #expect(try await bench.refusal(bench.domain.token(at: bench.clock.now, header: header)) == "subjectToken: ")
    }

    @Test func `without kid is refused`() async throws {
        let bench = try SVIDBench()
        let claims: JSONObject = [
            "sub": .string(bench.domain.id("/ns/ml/sa/b")), "aud": .string(TestTrustDomain.audience),
            "exp": .number(bench.clock.now.timeIntervalSince1970 + 300),
        ]
        #expect(try await bench.refusal(bench.domain.signer.token(claims, withoutHeader: "kid")) == "subjectToken: ")
    }

    @Test(arguments: [
        "spiffe://prod.example.com", "spiffe://prod.example.com/", "spiffe://PROD.example.com/ns/ml/sa/scorer",
        "SPIFFE://prod.example.com/ns/ml/sa/scorer", "spiffe://prod.example.com/ns/ml/sa/../sa/scorer",
        "spiffe://prod.example.com:443/ns/ml/sa/scorer", "prod.example.com/ns/ml/sa/scorer",
    ])
    func `whose sub is not the one spelling of a workload's id gets nothing`(subject: String) async throws {
        let bench = try SVIDBench()
        let token = try bench.domain.token(at: bench.clock.now, ["sub": .string(ExactString(subject))])
        #expect(try await bench.refusal(token)?.hasPrefix("subjectToken: ") == true)
    }

    @Test func `cannot choose its spiffe_id by a claim of that name`() async throws {
        let bench = try SVIDBench()
        let token = try bench.domain.token(
            "/ns/other/sa/x", at: bench.clock.now, ["spiffe_id": .string(bench.domain.id("/ns/ml/sa/scorer"))])
        #expect(try await bench.refusal(token) == "subjectToken: no_rule")
    }

    @Test func `is counted by what was signed, so that the twin of its signature is no other token`() async throws {
        let bench = try SVIDBench(replay: .once)
        let token = try bench.domain.token(at: bench.clock.now)
        #expect(try await bench.refusal(token) == nil)
        #expect(try await bench.refusal(token) == "subjectToken: replayed")
        var twin = TokenSegments(token)
        twin.signatureBytes = P256Order.twin(of: twin.signatureBytes)
        #expect(try await bench.refusal(twin.token) == "subjectToken: replayed")
    }

    @Test func `stops at once when its key leaves the bundle`() async throws {
        let bench = try SVIDBench()
        let token = try bench.domain.token(at: bench.clock.now)
        bench.bundles.replace(with: try bench.domain.bundle(authorities: [bench.domain.ca], signers: []))
        #expect(try await bench.refusal(token) == "subjectToken: ")
    }

    @Test func `may act for a subject that names its id, and cannot claim to be another issuer's`() async throws {
        let bench = try SVIDBench()
        let now = bench.clock.now
        let actor = try bench.domain.token(
            "/agent", at: now, ["iss": "https://unconfigured.example.com", "email": "boss@example.com"])
        func refusal(_ mayAct: JSONObject) async throws -> String? {
            let subject = try bench.issuer.token(
                bench.issuer.claims(at: now).merging([
                    "may_act": .object(mayAct), "jti": .string(ExactString("\(mayAct)")),
                ]))
            return try await bench.refusal(bench.request(.proof(SecretText(subject)), actor: actor))
        }
        #expect(try await refusal(["sub": .string(bench.domain.id("/agent"))]) == nil)
        for mayAct: JSONObject in [
            ["sub": .string(bench.domain.id("/other"))], ["email": "boss@example.com"],
            ["iss": "https://unconfigured.example.com"],
            ["iss": "https://unconfigured.example.com", "email": "boss@example.com"],
        ] {
            #expect(try await refusal(mayAct) == "subjectToken: actor")
        }
    }
}
