@testable import Broker
import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import Testing

/// A verifier that remembers beside one that does not, over one state, and the keys to sign whatever a test wants signed.
struct VerificationBench {
    static let issuer: ExactString = "https://daypass.example.com"

    /// The keys of the ring, the active one first.
    let keys: [TestIssuer]
    private let signingKeys: [SigningKey]
    let ring: KeyRing
    let state: StateHolder
    let cache: VerificationCache
    let clock = ManualClock()
    let cached: TokenVerifier
    let plain: TokenVerifier

    init(
        entries: Int = 1000, failuresPerSecond: Int? = nil, policy: VerifyConfiguration = .init(requireScope: false),
        cache: VerificationCache? = nil
    ) throws {
        let (masterKey, _) = try MasterKey.generate()
        var (keys, signingKeys): ([TestIssuer], [SigningKey]) = ([], [])
        for state in [SigningKeyRecord.State.active, .staged, .retiring] {
            let record = try SigningKey.generate(.EdDSA, state: state, sealedWith: masterKey, at: Fixture.now)
            let der = try masterKey.open(record.sealed, from: SigningKey.place(of: record.keyID))
            let key = try der.withSpan { span in try PrivateKey(pkcs8: span) }
            keys.append(TestIssuer(Self.issuer.string, algorithm: .EdDSA, keyID: record.keyID, key: key))
            signingKeys.append(try SigningKey(opening: record, with: masterKey))
        }
        (self.keys, self.signingKeys, ring) = (keys, signingKeys, try KeyRing(signingKeys))
        state = StateHolder(BrokerState(keyRing: ring))
        self.cache = cache ?? VerificationCache(entries: entries)
        let tokens = TokenConfiguration(issuer: Self.issuer, audiences: [Fixture.gateway])
        let clock = clock
        cached = TokenVerifier(
            tokens: tokens, policy: policy, state: state, cache: self.cache,
            failures: failuresPerSecond.map { FailedVerifications(perSecond: $0, clock: clock) })
        plain = TokenVerifier(tokens: tokens, policy: policy, state: state)
    }

    /// The ring without some of its keys, under another active one.
    func ring(without keyIDs: Set<ExactString>) throws -> KeyRing {
        let others = signingKeys.filter { !keyIDs.contains($0.jwk.keyID) }.map { $0.moved(to: .retiring) }
        let (masterKey, _) = try MasterKey.generate()
        let active = try SigningKey.generate(.EdDSA, state: .active, sealedWith: masterKey, at: Fixture.now)
        return try KeyRing(others + [SigningKey(opening: active, with: masterKey)])
    }

    /// The claims of a token as the mint writes them.
    static func claims(_ number: Int = 0, _ changes: JSONObject = [:]) -> JSONObject {
        let (tokenID, sessionID) = (id(number, 1), id(number, 2))
        let base: JSONObject = [
            "iss": .string(issuer), "sub": .string(ExactString("corp:subject-\(number)")),
            "aud": .string(Fixture.gateway), "iat": 1_800_000_000, "nbf": 1_800_000_000, "exp": 1_800_000_900,
            "jti": .string(tokenID), "sid": .string(sessionID), "lin": [.string(sessionID)], "rev": 0,
            "client_id": "rule:r", "scope": "a:read a:write", "rule": "r",
        ]
        return base.merging(changes)
    }

    static func id(_ number: Int, _ kind: UInt8) -> ExactString {
        let bytes = [kind] + (0..<15).map { UInt8(truncatingIfNeeded: number &* 0x9E37 &+ $0 &* number >> 3) }
        return ExactString(Base64URL.encode(bytes))
    }

    func token(_ number: Int = 0, _ changes: JSONObject = [:], key: Int = 0) throws -> SecretText {
        SecretText(try keys[key].token(Self.claims(number, changes), header: ["typ": "at+jwt"]))
    }

    /// What a token says, as if its signature had been checked.
    static func verified(
        _ number: Int = 0, _ changes: JSONObject = [:], from grants: VerifiedGrants? = nil, keyID: ExactString = "k"
    ) throws -> VerifiedToken {
        let claims = Self.claims(number, changes)
        return VerifiedToken(
            try #require(GatewayClaims(claims, signedBy: keyID)), from: grants)
    }

    func judge(
        _ token: SecretText, scopes: [String] = [], from client: () -> FailureHolder? = { nil }
    ) throws -> Denial? {
        cached.judgement(
            on: token, requiring: Requirement(scopes: try Fixture.scopes(scopes)), presentedBy: nil, from: client,
            at: clock.now
        ).verdict.denial
    }

    /// The same without memory.
    func judgePlainly(_ token: SecretText, scopes: [String] = []) throws -> Denial? {
        plain.verdict(
            for: token, requiring: Requirement(scopes: try Fixture.scopes(scopes)), presentedBy: nil, at: clock.now
        ).denial
    }

    func revoke(_ target: Revocation.Target) {
        state.update { state in
            var revocations = state.revocations
            revocations.insert(
                Revocation(
                    sequence: revocations.highest + 1, target: target, reason: nil, block: nil, created: Fixture.now,
                    caller: .daemon, expires: Fixture.now.addingTimeInterval(86_400)))
            state.revocations = revocations
        }
    }

    static func holder(_ text: String) throws -> FailureHolder {
        let address = try #require(IPAddress(parsing: text))
        return FailureHolder(
            address: AddressGroup(of: address, prefixIPv4: 32, prefixIPv6: 64),
            network: AddressGroup(of: address, prefixIPv4: 24, prefixIPv6: 32))
    }
}
