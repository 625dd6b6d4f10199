import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// Somebody has a copy of a signing key, and makes up tokens of sessions that there are.
@Suite struct `A stolen signing key` {
    private static let caller = Caller.socket(uid: 7, loginUID: nil, pid: 8)

    /// An exchange whose keys can be rotated and revoked, and the copy of the first key.
    private struct Bench {
        let exchange: ExchangeBench
        let rotation: KeyRotation
        let stolen: SigningKey

        init() async throws {
            let exchange = try ExchangeBench()
            let masterKey = try MasterKey.generate().0
            let now = exchange.clock.now
            let records = try [SigningKeyRecord.State.active, .staged].map {
                try SigningKey.generate(.ES256, state: $0, sealedWith: masterKey, at: now)
            }
            try await exchange.store.insertFirstSigningKeys(records)
            self.exchange = exchange
            rotation = try KeyRotation(
                exchange.store, holding: records, sealedWith: masterKey, SigningConfiguration(),
                publishingIn: exchange.state, revoking: exchange.revocations, clock: exchange.clock,
                logger: exchange.log.logger)
            stolen = try SigningKey(opening: records[0], with: masterKey)
        }

        var active: ExactString { exchange.state.current.keyRing.active.jwk.keyID }

        func rotate() async throws { _ = try await rotation.rotate(force: true, by: `A stolen signing key`.caller) }

        func revoke(_ keyID: ExactString) async throws {
            #expect(try await rotation.revoke(keyID, by: `A stolen signing key`.caller).isDurable)
        }

        /// A token like that one, of the stolen key, with other claims.
        func forged(_ response: ExchangeResponse, _ changes: JSONObject = [:]) throws -> SecretText {
            let claims = try exchange.claims(response).merging(["jti": "made-up"]).merging(changes)
            return SecretText(try stolen.signer.sign(claims.encoded()))
        }

        func renewed(_ token: SecretText, scope: [String]? = nil) async throws -> ExchangeResponse {
            try await exchange.exchange.exchange(exchange.renewal(of: token, scope: scope))
        }

        func fault(_ token: SecretText) -> Denial.TokenFault? {
            do {
                _ = try exchange.verifier.claims(of: token, presentedBy: nil, at: exchange.clock.now)
                return nil
            } catch {
                return error.fault
            }
        }

        /// The keys that a good token says to descend from.
        func ancestors(_ response: ExchangeResponse) throws -> JSONValue? { try exchange.claims(response)["kids"] }
    }

    @Test func `takes with it all that was renewed and narrowed from its tokens, whoever signed that`() async throws {
        let bench = try await Bench()
        let first = try await bench.exchange.opened()
        let stolen = bench.active
        try await bench.rotate()
        let second = bench.active
        // The token is made up, and its session is not.
        let renewed = try await bench.renewed(bench.forged(first))
        #expect(try bench.ancestors(renewed) == [.string(stolen)])
        let again = try await bench.renewed(renewed.accessToken)
        let narrowed = try await bench.renewed(renewed.accessToken, scope: ["a:read"])
        try await bench.rotate()
        let later = try await bench.renewed(again.accessToken)
        #expect(try bench.ancestors(later) == [.string(stolen), .string(second)])
        let below = try await bench.renewed(narrowed.accessToken)
        let honest = try await bench.exchange.opened(["jti": "t2"])
        #expect(try bench.ancestors(honest) == nil)

        try await bench.revoke(stolen)
        for token in [renewed, again, narrowed, later, below] {
            #expect(bench.fault(token.accessToken) == .revoked)
            #expect(try await bench.exchange.refusal(renewing: token) == "subjectToken: revoked")
        }
        #expect(bench.fault(honest.accessToken) == nil)
        // Another authentication begins anew.
        #expect(try await bench.ancestors(bench.exchange.opened(["jti": "t3"])) == nil)
    }

    @Test func `is dead by its revocation alone, and by the ring alone`() async throws {
        let bench = try await Bench()
        let stolen = bench.active
        let first = try await bench.exchange.opened()
        try await bench.rotate()
        let renewed = try await bench.renewed(bench.forged(first))
        let ring = bench.exchange.state.current.keyRing
        try await bench.revoke(stolen)
        let (after, none) = (bench.exchange.state.current, RevocationSet(highest: 1))
        func fault(_ ring: KeyRing, _ revocations: RevocationSet) -> Denial.TokenFault? {
            bench.exchange.state.update { $0 = BrokerState(keyRing: ring, revocations: revocations) }
            return bench.fault(renewed.accessToken)
        }
        #expect(fault(ring, after.revocations) == .revoked)
        // As where there was no room for the revocation.
        #expect(fault(after.keyRing, none) == .revoked)
        #expect(fault(ring, none) == nil)
    }

    @Test func `writes no claim that hides where a token comes from`() async throws {
        let bench = try await Bench()
        let first = try await bench.exchange.opened()
        let (own, other) = (bench.active, ExactString("other"))
        try await bench.rotate()
        let many = (0...GatewayClaims.maximumAncestorKeys).map { JSONValue.string(ExactString("k\($0)")) }
        let cases: [(JSONValue, Denial.TokenFault)] = [
            ([], .claims), ("k", .claims), (.null, .claims), ([:], .claims), ([1], .claims), ([["k"]], .claims),
            (["k", "k"], .claims), ([.string(own)], .claims), (["k", .string(own)], .claims),
            (.array(many), .claims), (.array(Array(many.dropLast())), .revoked), ([.string(other)], .revoked),
        ]
        for (kids, fault) in cases {
            #expect(bench.fault(try bench.forged(first, ["kids": kids])) == fault, "\(kids)")
        }
        // What it may write is there beside what we know.
        let staged = try #require(await bench.rotation.descriptions.first { $0.state == .staged }?.keyID)
        let renewed = try await bench.renewed(bench.forged(first, ["kids": [.string(staged)]]))
        #expect(try bench.ancestors(renewed) == [.string(staged), .string(own)])
    }

    @Test func `gives no session but one that there is, and no more than its rule grants`() async throws {
        let bench = try await Bench()
        let first = try await bench.exchange.opened(scope: ["a:read"])
        let other = try await bench.exchange.opened(["jti": "t2"])
        try await bench.rotate()
        let changes: [JSONObject] = [
            ["sid": "s", "lin": ["s"]], ["lin": [.string(other.sessionID), .string(first.sessionID)]],
            ["sid": .string(other.sessionID)], ["sub": "corp:bob"], ["rule": "tags"], ["jti": 1],
        ]
        for change in changes {
            await #expect(throws: ExchangeRefusal.self, "\(change)") {
                try await bench.renewed(bench.forged(first, change))
            }
        }
        // The grant of the rule, and its end, bound what it may say.
        let wide = try await bench.renewed(
            bench.forged(first, ["scope": "a:read a:write a:admin", "exp": 1_900_000_000]))
        #expect(wide.scope.map(\.text) == ["a:read", "a:write"])
        #expect(wide.lifetime == 900)
    }

    @Test func `stands in the record of each renewal, with the token that it signed`() async throws {
        let bench = try await Bench()
        let first = try await bench.exchange.opened()
        let (stolen, parent) = (bench.active, try #require(bench.exchange.claims(first)["jti"]))
        try await bench.rotate()
        _ = try await bench.renewed(first.accessToken)
        _ = try await bench.renewed(bench.forged(first), scope: ["a:read"])
        let parents = bench.exchange.store.events.compactMap { $0.details["parent"] }
        #expect(parents == [["token": parent, "key": .string(stolen)], ["token": "made-up", "key": .string(stolen)]])
    }

    @Test func `is nobody's business who asks about a token`() async throws {
        let bench = try await Bench()
        let first = try await bench.exchange.opened()
        try await bench.rotate()
        let renewed = try await bench.renewed(first.accessToken)
        #expect(try bench.ancestors(renewed) != nil)
        let introspection = TokenIntrospection(
            verifier: bench.exchange.verifier, issuer: Fixture.broker, clock: bench.exchange.clock)
        let answer = introspection.answer(about: renewed.accessToken)
        #expect(answer["active"] == true && answer["kids"] == nil)
    }

    @Test func `a session that was renewed across as many rotations as a token may name begins anew`() async throws {
        let bench = try await Bench()
        var token = try await bench.exchange.opened()
        for _ in 0..<GatewayClaims.maximumAncestorKeys {
            try await bench.rotate()
            token = try await bench.exchange.renewed(token)
        }
        #expect(try bench.ancestors(token)?.array?.count == GatewayClaims.maximumAncestorKeys)
        try await bench.rotate()
        #expect(try await bench.exchange.refusal(renewing: token) == "subjectToken: token_too_long")
        #expect(bench.fault(token.accessToken) == nil)
    }

    @Test func `a key that signs again is no ancestor of what it signs`() async throws {
        let bench = try await Bench()
        let (key, first) = (bench.active, try await bench.exchange.opened())
        try await bench.rotate()
        let (other, second) = (bench.active, try await bench.exchange.renewed(first))
        _ = try await bench.rotation.activate(key, by: Self.caller)
        let third = try await bench.exchange.renewed(second)
        #expect(try bench.ancestors(third) == [.string(other)])
        try await bench.rotate()
        #expect(try bench.ancestors(await bench.exchange.renewed(third)) == [.string(other), .string(key)])
    }
}
