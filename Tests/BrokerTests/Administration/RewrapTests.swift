import Broker
import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import SPIFFE
import Synchronization
import Testing

@Suite struct `Sealing a store under another master key` {
    private let memory = MemoryStore()
    private let old: MasterKey
    private let new: MasterKey
    private let keys: [SigningKeyRecord]

    init() async throws {
        old = try MasterKey.generate().0
        new = try MasterKey.generate().0
        let old = old
        keys = try [SigningKeyRecord.State.active, .staged].enumerated().map { index, state in
            try SigningKey.generate(
                .ES256, state: state, sealedWith: old, at: Fixture.now.addingTimeInterval(Double(index)))
        }
        try await memory.insertFirstSigningKeys(keys)
        try await memory.keep(try bundle(sealedWith: old))
    }

    private static let endpoint: ExactString = "https_web https://a.example.com/"

    private func bundle(sealedWith key: MasterKey) throws -> TrustBundleRecord {
        let domain = try TrustDomain(parsing: "prod.example.com")
        let place = SealedPlace(
            purpose: "trust-bundle", table: "trust_bundles", id: "\(domain) \(Self.endpoint)", version: 1)
        return TrustBundleRecord(
            trustDomain: domain, endpoint: Self.endpoint, sequence: 3,
            sealed: try key.seal(SecretBytes(copying: Array("bundle".utf8).span), for: place), masterKeyID: key.id,
            updated: Fixture.now)
    }

    private func rewrap(_ store: any SealedRowStore) -> Rewrap {
        Rewrap(store, from: old, to: new, clock: ManualClock())
    }

    @Test func `everything opens with the new key and nothing with the old one, each row with its record`() async throws
    {
        let outcome = try await rewrap(memory).run(by: .command(uid: 0, loginUID: nil))
        #expect(outcome == Rewrap.Outcome(resealed: 3, alreadySealed: 0))
        let after = try await memory.signingKeys()
        let ring = try KeyRing(opening: after, with: new)
        #expect(ring.active.jwk.keyID == keys[0].keyID)
        #expect(throws: KeyRingFailure.self) { try KeyRing(opening: after, with: old) }
        #expect(try await memory.sealedRows().allSatisfy { $0.masterKeyID == new.id })
        #expect(memory.events.map(\.kind) == [.secretResealed, .secretResealed, .secretResealed])
        let expected: JSONObject = [
            "caller": ["by": "command", "uid": 0], "table": "signing_keys", "row": .string(keys[0].keyID),
            "before": .string(old.id),
            "after": .string(new.id),
        ]
        #expect(memory.events.first?.details == expected)
        #expect(
            try await rewrap(memory).run(by: .command(uid: 0, loginUID: nil))
                == Rewrap.Outcome(resealed: 0, alreadySealed: 3))
        #expect(memory.events.count == 3)
    }

    @Test func `who is signed in stays so, and with the new key alone`() async throws {
        let bench = try SignInBench()
        let (first, token) = (bench.masterKey, try await bench.signedIn(providerToken: "p").refreshToken)
        let rewrap = Rewrap(bench.base.store, from: first, to: new, clock: bench.base.clock)
        let outcome = try await rewrap.run(by: .command(uid: 0, loginUID: nil))
        #expect(outcome == Rewrap.Outcome(resealed: 1, alreadySealed: 0))
        let record = try #require(bench.base.store.events.last)
        #expect(record.kind == .secretResealed && record.details["table"] == "sign_ins")
        let after = try SignInBench(masterKey: new, after: bench)
        let answer = await after.refresh(token)
        #expect(answer.refusal == nil)
        let before = try SignInBench(masterKey: first, after: bench)
        #expect(await before.refresh(answer.refreshToken).refusal == "ended")
    }

    @Test(arguments: 1...3)
    func `what was interrupted after any row is taken up there`(row: Int) async throws {
        let failing = FailingRows(memory, at: row)
        await #expect(throws: RewrapFailure.self) { try await rewrap(failing).run(by: .command(uid: 0, loginUID: nil)) }
        #expect(try await memory.sealedRows().count { $0.masterKeyID == new.id } == row - 1)
        #expect(memory.events.count == row - 1)
        let outcome = try await rewrap(memory).run(by: .command(uid: 0, loginUID: nil))
        #expect(outcome == Rewrap.Outcome(resealed: 4 - row, alreadySealed: row - 1))
        _ = try KeyRing(opening: try await memory.signingKeys(), with: new)
    }

    @Test func `a row that another key sealed, or that is damaged, is named before anything is changed`() async throws {
        let third = try MasterKey.generate().0
        let before = try await memory.sealedRows()
        let other = Rewrap(memory, from: third, to: new, clock: ManualClock())
        let failure = await #expect(throws: RewrapFailure.self) {
            try await other.run(by: .command(uid: 0, loginUID: nil))
        }
        #expect(
            failure?.description.contains("signing key \(keys[0].keyID) was sealed with master key \(old.id)") == true)
        #expect(try await memory.sealedRows() == before)

        var damaged = try bundle(sealedWith: old).sealed
        damaged[4] ^= 1
        try await memory.reseal(try #require(before.last), as: damaged, under: old.id, Sample.keyEvent(.secretResealed))
        let damage = await #expect(throws: RewrapFailure.self) {
            try await rewrap(memory).run(by: .command(uid: 0, loginUID: nil))
        }
        #expect(
            damage?.description
                == "the trust bundle of prod.example.com does not open: its row was altered or damaged")
        #expect(try await memory.signingKeys() == keys)
    }
}

/// A store that fails at one row.
private final class FailingRows: SealedRowStore {
    private let base: MemoryStore
    private let failing: Int
    private let count = Mutex(0)

    init(_ base: MemoryStore, at failing: Int) {
        self.base = base
        self.failing = failing
    }

    func sealedRows() async throws(StoreFailure) -> [SealedRow] { try await base.sealedRows() }

    func reseal(
        _ row: SealedRow, as sealed: [UInt8], under masterKeyID: ExactString, _ event: AuditEvent
    ) async throws(StoreFailure) {
        let number = count.withLock {
            $0 += 1
            return $0
        }
        if number == failing { throw StoreFailure(.unavailable, "seal a row anew", cause: "no disk") }
        try await base.reseal(row, as: sealed, under: masterKeyID, event)
    }
}
