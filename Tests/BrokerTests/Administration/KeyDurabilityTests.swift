import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// A key's revocation has two records, of its tokens and of the key itself.
@Suite struct `A revoked key is durable when both of its records are` {
    private static let context = AdministrativeContext(
        caller: .socket(uid: 7, loginUID: nil, pid: 8), trace: TraceID())

    /// What administrators see, over a store whose keys fail by themselves.
    private struct Bench {
        let store: FailingKeyStore
        let masterKey: MasterKey
        let keys: SigningKeyAdministration
        let live: LiveRevocations
        let rotation: KeyRotation

        /// - Parameter earlier: whose store this one takes over, like a broker that was started again.
        init(after earlier: Bench? = nil) async throws {
            let clock = ManualClock()
            let masterKey = try earlier?.masterKey ?? MasterKey.generate().0
            let store = earlier?.store ?? FailingKeyStore(MemoryStore())
            if earlier == nil {
                try await store.insertFirstSigningKeys(
                    try [SigningKeyRecord.State.active, .staged].map {
                        try SigningKey.generate(.ES256, state: $0, sealedWith: masterKey, at: clock.now)
                    })
            }
            let records = try await store.base.signingKeys()
            let state = StateHolder(BrokerState(keyRing: try KeyRing(opening: records, with: masterKey)))
            let logger = LogRecorder().logger
            let revocations = Revocations(store.base, publishedIn: state, clock: clock, logger: logger)
            try await revocations.restore()
            let rotation = try KeyRotation(
                store, holding: records, sealedWith: masterKey, SigningConfiguration(), publishingIn: state,
                revoking: revocations, clock: clock, logger: logger)
            (self.store, self.masterKey, self.rotation) = (store, masterKey, rotation)
            keys = SigningKeyAdministration(rotation, revocations)
            let configuration = try Fixture.configuration()
            live = LiveRevocations(
                revocations, search: store.base, configuration: { configuration }, state: { state.current },
                outstanding: OutstandingTokens(LatestExpiry(), store.base, clock: clock), clock: clock)
        }

        func id(_ state: SigningKeyRecord.State) async throws -> ExactString {
            try #require(await store.base.signingKeys().last { $0.state == state }).keyID
        }

        func revoke(_ keyID: ExactString) async throws -> AdministrationAPI.Revocation {
            try #require(
                await keys.revoke(
                    keyID, reason: "stolen", `A revoked key is durable when both of its records are`.context
                ).revocations.first)
        }

        /// As `GET revocations/1` and `GET revocations` say it.
        var isDurable: Bool {
            get async throws {
                let one = try #require(await live.revocation(1)).isDurable
                let page = try #require(AdministrationAPI.PageRequest())
                #expect(try await live.revocations(page).elements.last?.isDurable == one)
                return one
            }
        }
    }

    @Test(arguments: [SigningKeyRecord.State.active, .staged])
    func `until its own row is written, nobody says durable`(state: SigningKeyRecord.State) async throws {
        let bench = try await Bench()
        let keyID = try await bench.id(state)
        bench.store.fail(1...1000)
        for _ in 0..<2 {
            #expect(try await !bench.revoke(keyID).isDurable)
            #expect(try await !bench.isDurable)
        }
        await bench.rotation.tick()
        #expect(try await !bench.isDurable)
        // The record of the tokens outlives a crash; that of the key is still missing.
        let restarted = try await Bench(after: bench)
        #expect(try await !restarted.isDurable)
        await restarted.rotation.tick()
        #expect(try await !restarted.isDurable)

        bench.store.fail(nil)
        await restarted.rotation.tick()
        #expect(try await restarted.isDurable)
        #expect(try await bench.store.base.signingKeys().first { $0.keyID == keyID }?.state == .compromised)
        #expect(try await restarted.revoke(keyID).isDurable)
    }

    @Test(arguments: 1...4, FailingKeyStore.Fault.allCases)
    func `whichever call into the store fails, durable is said of what is`(
        call: Int, fault: FailingKeyStore.Fault
    ) async throws {
        let bench = try await Bench()
        let keyID = try await bench.id(.active)
        bench.store.fail(call...call, fault)
        let said = try await bench.revoke(keyID).isDurable
        let isStored = try await bench.store.base.signingKeys().first { $0.keyID == keyID }?.state == .compromised
        if said { #expect(isStored) }
        #expect(try await bench.isDurable == said)
        bench.store.fail(nil)
        await bench.rotation.tick()
        #expect(try await bench.isDurable)
    }
}
