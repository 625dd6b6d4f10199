import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite struct `Revoking signing keys` {
    private let caller = RotationBench.caller

    @Test func `tokens of a revoked key are refused, and the staged key signs at once`() async throws {
        let bench = try await RotationBench()
        let (first, second) = (bench.active, try await bench.id(.staged))
        let token = try await bench.token()
        #expect(try bench.accepts(token))
        let revoked = try await bench.rotation.revoke(first, reason: "laptop stolen", by: caller)
        #expect(revoked == KeyRevoked(keyID: first, isDurable: true))
        #expect(try !bench.accepts(token))
        #expect(bench.active == second)
        let third = try await bench.id(.staged)
        #expect(try bench.published == [second, third])
        #expect(try bench.accepts(await bench.token()))
        #expect(bench.revocations.keys == [first])
        let event = try #require(bench.store.base.events.first)
        let expected: JSONObject = [
            "caller": ["by": "socket", "uid": 1000, "pid": 7],
            "keys": [
                ["key": .string(first), "before": "active", "after": "compromised"],
                ["key": .string(second), "before": "staged", "after": "active"],
                ["key": .string(third), "before": .null, "after": "staged", "algorithm": "ES256"],
            ],
            "key": .string(first), "reason": "laptop stolen",
        ]
        #expect(event.kind == .keyRevoked && event.details == expected)
        #expect(try await bench.stored.first?.sealed == [])
        try await bench.expectConsistent()
    }

    @Test func `a staged key that is revoked is replaced, and a retiring one is not`() async throws {
        let bench = try await RotationBench()
        let (first, second) = (bench.active, try await bench.id(.staged))
        _ = try await bench.rotation.revoke(second, by: caller)
        #expect(bench.active == first)
        #expect(try await bench.stored.map(\.state) == [.active, .compromised, .staged])
        let token = try await bench.token()
        _ = try await bench.rotation.rotate(force: true, by: caller)
        #expect(try bench.accepts(token))
        _ = try await bench.rotation.revoke(first, by: caller)
        #expect(try !bench.accepts(token))
        #expect(try await bench.stored.map(\.state) == [.compromised, .compromised, .active, .staged])
        try await bench.expectConsistent()
    }

    @Test func `revoking a key twice is recorded once, and a retired key may be revoked still`() async throws {
        let bench = try await RotationBench()
        let first = bench.active
        _ = try await bench.rotation.rotate(force: true, by: caller)
        await bench.settle()
        bench.clock.advance(by: .seconds(25 * 3600))
        await bench.rotation.tick()
        #expect(try await bench.stored.first?.state == .retired)
        for _ in 0..<2 {
            #expect(try await bench.rotation.revoke(first, by: caller).isDurable)
        }
        #expect(bench.kinds().count { $0 == .keyRevoked } == 1)
        #expect(try await bench.stored.first?.state == .compromised)
        try await bench.expectConsistent()
    }

    @Test(arguments: [SigningKeyRecord.State.active, .staged, .retiring])
    func `a key whose revocation is recorded is out after a crash, whatever its own record says still`(
        state: SigningKeyRecord.State
    ) async throws {
        let bench = try await RotationBench()
        _ = try await bench.rotation.rotate(force: true, by: caller)
        let (keyID, stored) = (try await bench.id(state), try await bench.stored)
        let revocation = Revocation(
            sequence: 1, target: .key(keyID), reason: nil, block: nil, created: bench.clock.now, caller: caller,
            expires: bench.clock.now)
        let holder = StateHolder(
            BrokerState(
                keyRing: try KeyRing(opening: stored, with: bench.masterKey),
                revocations: RevocationSet([revocation])))
        let restarted = try KeyRotation(
            bench.store, holding: stored, sealedWith: bench.masterKey, SigningConfiguration(), publishingIn: holder,
            clock: bench.clock, logger: bench.log.logger)
        var ring: KeyRing { holder.current.keyRing }
        #expect(ring.published[keyID] == nil && ring.active.jwk.keyID != keyID)
        #expect(try JWKSet(parsing: ring.jwks).keys[keyID] == nil)
        let descriptions = await restarted.descriptions
        #expect(descriptions.first { $0.keyID == keyID }?.state == .compromised)
        await restarted.tick()
        let now = try await bench.stored
        #expect(now.first { $0.keyID == keyID }?.state == .compromised)
        #expect(now.count { $0.state == .active } == 1 && now.count { $0.state == .staged } == 1)
        #expect(now.first { $0.state == .active }?.keyID == ring.active.jwk.keyID)
        #expect(Set(ring.published.keys) == Set(now.filter(\.state.isPublished).map(\.keyID)))
        #expect(bench.kinds().last == .keyRevoked)
    }

    @Test(arguments: FailingKeyStore.Fault.allCases)
    func `a revocation holds although the store fails, and is recorded as soon as it works`(
        fault: FailingKeyStore.Fault
    ) async throws {
        let bench = try await RotationBench()
        let (first, second) = (bench.active, try await bench.id(.staged))
        let token = try await bench.token()
        bench.store.fail(1...1000, fault)
        #expect(try await !bench.rotation.revoke(first, by: caller).isDurable)
        #expect(try !bench.accepts(token))
        #expect(bench.active == second)
        #expect(try !bench.published.contains(first))
        #expect(await bench.rotation.descriptions.first?.state == .compromised)
        #expect(bench.metrics.failure?.cause.contains("no disk") == true)
        #expect(await bench.rotation.interval == .seconds(2))
        #expect(try bench.accepts(await bench.token()))
        // Whatever else is asked for fails, and brings nothing back.
        let refused = await refusal { () async throws(KeyRotationFailure) in
            _ = try await bench.rotation.rotate(force: true, by: caller)
        }
        #expect(refused?.contains("no disk") == true)
        await bench.rotation.tick()
        #expect(try !bench.accepts(token) && bench.active == second)

        bench.store.fail(nil)
        await bench.rotation.tick()
        #expect(bench.active == second)
        #expect(bench.kinds() == [.keyRevoked])
        #expect(bench.metrics.failure == nil)
        #expect(await bench.rotation.interval == .seconds(60))
        try await bench.expectConsistent()
        #expect(log(bench, has: "the signing keys can be changed again"))
    }

    @Test func `with the active and the staged key revoked and no store nothing is signed`() async throws {
        let bench = try await RotationBench()
        let (first, second) = (bench.active, try await bench.id(.staged))
        bench.store.fail(1...1000)
        _ = try await bench.rotation.revoke(first, by: caller)
        _ = try await bench.rotation.revoke(second, by: caller)
        #expect(try bench.published.isEmpty)
        await #expect(throws: MintingFailure.self) { try await bench.token() }
        bench.store.fail(nil)
        await bench.rotation.tick()
        #expect(
            try await bench.stored.map(\.state).sorted { $0.rawValue < $1.rawValue }
                == [.active, .compromised, .compromised, .staged])
        #expect(try bench.accepts(await bench.token()))
        try await bench.expectConsistent()
    }

    @Test func `a revocation of its tokens that is not durable makes it say so`() async throws {
        let bench = try await RotationBench()
        bench.revocations.setDurable(false)
        #expect(try await !bench.rotation.revoke(bench.active, by: caller).isDurable)
    }

    private func log(_ bench: RotationBench, has message: String) -> Bool { bench.log.messages.contains(message) }
}
