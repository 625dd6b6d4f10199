import Broker
import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import Testing

@Suite struct TokenVerifierTests {
    /// An issuer that holds the very key of the ring, so that it can sign what the mint never would.
    private struct Forge {
        let key: TestIssuer
        let ring: KeyRing

        init() throws {
            let (masterKey, _) = try MasterKey.generate()
            let record = try SigningKey.generate(.ES256, state: .active, sealedWith: masterKey, at: Fixture.now)
            let place = SealedPlace(purpose: "signing-key", table: "signing_keys", id: record.keyID.string, version: 1)
            let der = try masterKey.open(record.sealed, from: place)
            let privateKey = try der.withSpan { span in try PrivateKey(pkcs8: span) }
            key = TestIssuer("https://daypass.example.com", algorithm: .ES256, keyID: record.keyID, key: privateKey)
            ring = try KeyRing(
                opening: [record, SigningKey.generate(.ES256, state: .staged, sealedWith: masterKey, at: Fixture.now)],
                with: masterKey)
        }

        static let claims: JSONObject = [
            "iss": "https://daypass.example.com", "sub": "corp:alice", "aud": "https://gateway.example.com",
            "iat": 1_800_000_000, "nbf": 1_800_000_000, "exp": 1_800_000_900, "jti": "j", "sid": "s", "lin": ["s"],
            "rev": 0, "client_id": "rule:r", "scope": "a:read a:write", "rule": "r",
        ]

        func token(_ changes: JSONObject = [:], header: JSONObject = [:], without: ExactString = "") throws -> String {
            try key.token(
                Self.claims.merging(changes).replacing(without, with: nil),
                header: JSONObject(dictionaryLiteral: ("typ", "at+jwt")).merging(header))
        }

        func verdict(
            _ token: String, scopes: [String] = ["a:read"], models: [ExactString] = [],
            policy: VerifyConfiguration = .init(), after seconds: Double = 0
        ) throws -> Verdict {
            let verifier = TokenVerifier(
                tokens: TokenConfiguration(
                    issuer: "https://daypass.example.com", audiences: [Fixture.gateway, "https://second.example.com"]),
                policy: policy, state: StateHolder(BrokerState(keyRing: ring)))
            return verifier.verdict(
                for: SecretText(token), requiring: Requirement(scopes: try Fixture.scopes(scopes), models: models),
                presentedBy: nil, at: Fixture.now.addingTimeInterval(seconds))
        }
    }

    private let forge: Forge

    init() throws {
        forge = try Forge()
    }

    @Test func `a good token is allowed, with what it says`() throws {
        guard case .allow(let claims) = try forge.verdict(forge.token()) else {
            Issue.record("denied")
            return
        }
        #expect(claims.subject == "corp:alice")
        #expect(claims.sessionID == "s")
        #expect(claims.tokenID == "j")
        #expect(claims.rule == "r")
        #expect(claims.scope.map(\.text) == ["a:read", "a:write"])
        #expect(claims.models == nil)
        #expect(claims.expiry == 1_800_000_900)
    }

    @Test func `a token for any of the configured audiences is allowed`() throws {
        #expect(try forge.verdict(forge.token(["aud": "https://second.example.com"])).isAllowed)
    }

    @Test(
        arguments: [
            (0.0, nil), (899.999, nil), (900, .expired), (901, .expired), (-0.001, .notYetValid), (-29, .notYetValid),
        ] as [(Double, Denial.TokenFault?)])
    func `our own tokens have no leeway`(seconds: Double, fault: Denial.TokenFault?) throws {
        #expect(try forge.verdict(forge.token(), after: seconds).denial == fault.map { .token($0) })
    }

    private static let faults: [(JSONObject, Denial.TokenFault)] = [
        (["iss": "https://daypass.example.com/"], .issuer), (["iss": "https://DAYPASS.example.com"], .issuer),
        (["iss": ["https://daypass.example.com"]], .issuer), (["iss": .null], .issuer),
        (["aud": "https://daypass.example.com"], .audience), (["aud": ["https://gateway.example.com"]], .audience),
        (["aud": ""], .audience), (["aud": .null], .audience), (["aud": "https://gateway.example.com/"], .audience),
        (["sub": 1], .claims), (["sid": .null], .claims), (["rule": [:]], .claims), (["jti": 7], .claims),
        (["scope": ["a:read"]], .claims), (["scope": "a:read \"b"], .claims), (["exp": "1800000900"], .claims),
        (["nbf": .null], .claims), (["exp": true], .claims), (["iat": "0"], .claims),
        (["rev": .null], .claims), (["rev": "0"], .claims), (["rev": .number(0.5)], .claims), (["rev": -1], .claims),
        (["rev": true], .claims), (["rev": 1], .claims), (["rev": 9_007_199_254_740_992], .claims),
        (["rev": [0]], .claims), (["act": "corp:bob"], .claims), (["act": [:]], .claims),
        (["act": ["sub": "a:b", "act": "a:c"]], .claims), (["act": ["sub": "a:b", "act": ["act": [:]]]], .claims),
        (["authorization_details": "x"], .claims), (["authorization_details": []], .claims),
        (["authorization_details": [[:]]], .claims), (["authorization_details": [["type": "other"]]], .claims),
        (["authorization_details": [["type": "daypass_models"]]], .claims),
        (["authorization_details": [["type": "daypass_models", "models": []]]], .claims),
        (["authorization_details": [["type": "daypass_models", "models": ["a***"]]]], .claims),
        (["authorization_details": [["type": "daypass_models", "models": ["a"]], ["type": "x"]]], .claims),
        (["scope": .string(ExactString((0..<65).map { "s\($0)" }.joined(separator: " ")))], .claims),
    ]

    @Test(arguments: faults)
    func `a claim that the mint does not write so is refused`(changes: JSONObject, fault: Denial.TokenFault) throws {
        #expect(try forge.verdict(forge.token(changes)).denial == .token(fault))
    }

    @Test(
        arguments: [
            ("iss", .issuer), ("aud", .audience), ("sub", .claims), ("sid", .claims), ("rule", .claims),
            ("jti", .claims),
            ("scope", .claims), ("nbf", .claims), ("exp", .claims), ("rev", .claims), ("iat", .claims),
        ] as [(ExactString, Denial.TokenFault)])
    func `a claim that is missing is refused`(name: ExactString, fault: Denial.TokenFault) throws {
        #expect(try forge.verdict(forge.token(without: name)).denial == .token(fault))
    }

    @Test func `what a revoked key has signed is dead, whatever number it writes, while the ring still has the key`()
        async throws
    {
        let state = StateHolder(BrokerState(keyRing: forge.ring))
        let revocations = Revocations(
            MemoryStore(), publishedIn: state, clock: ManualClock(), logger: LogRecorder().logger)
        let verifier = TokenVerifier(
            tokens: TokenConfiguration(issuer: "https://daypass.example.com", audiences: [Fixture.gateway]),
            policy: .init(requireScope: false), state: state)
        func verdict(_ token: String) -> Denial? {
            verifier.verdict(for: SecretText(token), requiring: .init(), presentedBy: nil, at: Fixture.now).denial
        }
        #expect(try verdict(forge.token()) == nil)
        _ = try await revocations.revoke(RevocationRequest(.key(forge.key.keyID)), by: .daemon)
        #expect(try verdict(forge.token(["rev": 1])) == .token(.revoked))
    }

    @Test(arguments: ["JWT", "at+jwt ", "id+jwt", "wit+jwt", "logout+jwt"])
    func `another kind of token that our own key signed is refused`(type: String) throws {
        let token = try forge.token(header: ["typ": .string(ExactString(type))])
        #expect(try forge.verdict(token).denial == .token(.type))
    }

    @Test func `a token without typ is refused, and its long form is accepted`() throws {
        let bare = try forge.key.token(Forge.claims, withoutHeader: "typ")
        #expect(try forge.verdict(bare).denial == .token(.type))
        #expect(try forge.verdict(forge.token(header: ["typ": "application/at+jwt"])).isAllowed)
    }

    @Test func `an unknown key id, or none, is refused`() throws {
        #expect(try forge.verdict(forge.token(header: ["kid": "other"])).denial == .token(.key))
        let bare = try forge.key.token(
            rawHeader: #"{"alg":"ES256","typ":"at+jwt"}"#,
            rawPayload: String(decoding: Forge.claims.encoded(), as: UTF8.self))
        #expect(try forge.verdict(bare).denial == .token(.key))
    }

    @Test func `another key under our key's id signs nothing`() throws {
        let thief = try TestIssuer("https://daypass.example.com", algorithm: .ES256, keyID: forge.key.keyID)
        let token = try thief.token(Forge.claims, header: ["typ": "at+jwt"])
        #expect(try forge.verdict(token).denial == .token(.signature))
    }

    @Test func `our staged key's id over the active key's signature is refused`() throws {
        let staged = try #require(forge.ring.published.keys.first { $0 != forge.key.keyID })
        #expect(try forge.verdict(forge.token(header: ["kid": .string(staged)])).denial == .token(.signature))
    }

    @Test(arguments: ["ES384", "EdDSA", "RS256", "PS256"])
    func `another algorithm under our key's id is refused before its signature is checked`(name: String) throws {
        let token = try forge.token(header: ["alg": .string(ExactString(name))])
        #expect(try forge.verdict(token).denial == .token(.algorithm))
    }

    @Test(arguments: ["", "x", "a.b.c", "Bearer x", "none", "....", "\0", "eyJhbGciOiJub25lIn0.e30."])
    func `what is no token is malformed`(text: String) throws {
        #expect(try forge.verdict(text).denial == .token(.malformed))
    }

    @Test func `HMAC with our published key as the secret is malformed`() throws {
        let token = try forge.token(header: ["alg": "HS256"])
        #expect(try forge.verdict(token).denial == .token(.malformed))
    }

    @Test func `a foreign token is told apart before any cryptography`() throws {
        let foreign = try Fixture.issuer
        let token = try foreign.token(foreign.claims(at: Fixture.now), header: ["typ": "at+jwt"])
        #expect(try forge.verdict(token).denial == .token(.key))
        #expect(try forge.verdict(foreign.token(foreign.claims(at: Fixture.now))).denial == .token(.type))
    }

    @Test func `a fault of the token comes before anything that is required of it`() throws {
        let expired = try forge.verdict(forge.token(), scopes: ["other"], after: 1000)
        #expect(expired.denial == .token(.expired))
    }

    @Test func `a byte changed at any position makes a token that is refused`() throws {
        let token = Array(try forge.token().utf8)
        for index in token.indices {
            for change: UInt8 in [0x01, 0x20] {
                var altered = token
                altered[index] ^= change
                let verdict = try forge.verdict(String(decoding: altered, as: UTF8.self))
                #expect(!verdict.isAllowed, "byte \(index)")
            }
        }
    }

    @Test func `a token cut or lengthened anywhere is refused`() throws {
        let token = try forge.token()
        for count in 0..<token.utf8.count {
            #expect(try !forge.verdict(String(token.prefix(count))).isAllowed)
        }
        for extra in ["A", "AA", "AAAA", ".", "=", " ", "\n"] {
            #expect(try !forge.verdict(token + extra).isAllowed)
            #expect(try !forge.verdict(extra + token).isAllowed)
        }
    }
}

/// What a gateway requires of a good token.
@Suite struct RequirementTests {
    private func verdict(
        scope: [String] = ["a:read", "a:write"], models: [String]? = nil, requiring scopes: [String],
        _ required: [ExactString] = [], policy: VerifyConfiguration = .init()
    ) async throws -> Denial? {
        let ring = try Fixture.keyRing()
        let terms = try Fixture.terms(scope: scope, models: models)
        let subject = try await Fixture.subject()
        let rules = try Fixture.rules(Fixture.rule(texts: [("sub", ["alice"])], terms: terms))
        let grant = try #require(rules.match(subject, naming: nil).grant)
        let mint = TokenMint(
            issuer: "https://daypass.example.com", state: { BrokerState(keyRing: ring) }, random: SystemRandom())
        let (token, _) = try mint.mint(subject, grant, keeping: [:], at: Fixture.now)
        let verifier = TokenVerifier(
            tokens: TokenConfiguration(issuer: "https://daypass.example.com", audiences: [Fixture.gateway]),
            policy: policy, state: StateHolder(BrokerState(keyRing: ring)))
        return verifier.verdict(
            for: token.text, requiring: Requirement(scopes: try Fixture.scopes(scopes), models: required),
            presentedBy: nil, at: Fixture.now
        ).denial
    }

    @Test(
        arguments: [
            (["a:read"], nil), (["a:write", "a:read"], nil), (["a:read", "a:read"], nil), (["a"], .insufficientScope),
            (["a:read", "b"], .insufficientScope), (["A:read"], .insufficientScope), (["a:*"], .insufficientScope),
            (["daypass:admin"], .insufficientScope), ([], .nothingRequired),
        ] as [([String], Denial?)])
    func `all required scopes have to be in the token`(scopes: [String], denial: Denial?) async throws {
        #expect(try await verdict(requiring: scopes) == denial)
    }

    @Test func `a gateway may require nothing only where that is configured`() async throws {
        #expect(try await verdict(requiring: [], policy: .init(requireScope: false)) == nil)
    }

    @Test(
        arguments: [
            (["claude-sonnet-5"], nil), (["claude-sonnet-5", "claude-haiku-4"], nil),
            (["claude-opus-5"], .insufficientModel), (["claude-sonnet-5", "claude-opus-5"], .insufficientModel),
            (["claude-sonnet-5/x"], .insufficientModel), ([""], .insufficientModel),
            (["Claude-sonnet-5"], .insufficientModel),
            (["xclaude-sonnet-5"], .insufficientModel),
        ] as [([ExactString], Denial?)])
    func `all required models have to be allowed by the token`(models: [ExactString], denial: Denial?) async throws {
        let patterns = ["claude-sonnet-*", "claude-haiku-*"]
        #expect(try await verdict(models: patterns, requiring: ["a:read"], models) == denial)
    }

    @Test func `a token that does not speak of models allows any`() async throws {
        #expect(try await verdict(requiring: ["a:read"], ["anything"]) == nil)
    }

    @Test func `a token that lists models passes without a required one only where that is configured`() async throws {
        #expect(try await verdict(models: ["m"], requiring: ["a:read"]) == nil)
        let strict = VerifyConfiguration(requireScope: true, requireModel: true)
        #expect(try await verdict(models: ["m"], requiring: ["a:read"], policy: strict) == .insufficientModel)
        #expect(try await verdict(models: ["m"], requiring: ["a:read"], ["m"], policy: strict) == nil)
        #expect(try await verdict(requiring: ["a:read"], policy: strict) == nil)
    }
}

extension Verdict {
    var isAllowed: Bool { if case .allow = self { true } else { false } }
    var denial: Denial? { if case .deny(let denial) = self { denial } else { nil } }
}
