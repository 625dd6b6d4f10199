package import Broker
import FoundationEssentials
import JOSE
import OpenSSL

extension StoreConformance {
    /// A checkpoint key that is in the store, and with which it signs.
    package static func signing(_ store: any AuditChainStore) async throws -> (MasterKey, CheckpointKeyRecord) {
        let (masterKey, _) = try MasterKey.generate()
        let record = try CheckpointKey.generate(sealedWith: masterKey, at: Sample.time)
        try await store.insert(record, Sample.keyEvent(.checkpointKeyMade))
        guard let keys = try CheckpointKeys(opening: [record], with: masterKey) else {
            throw ConformanceFailure(description: "there is no key")
        }
        store.sign(with: keys)
        return (masterKey, record)
    }

    private static func intact(_ store: any Store) async throws -> AuditReport {
        let report = try await store.verifyAudit(after: nil, records: .max)
        try expect(report.finding == nil, "\(report.finding?.message ?? "")")
        return report
    }

    static func recordsAreChained(_ store: any Store) async throws {
        try expect(try await intact(store).records == 0, "a new store has records")
        try await store.record(Sample.session("s1"), Sample.grant(session: "s1"))
        _ = try await store.record(
            Sample.session("s2"), Sample.grant(session: "s2"), using: Sample.use(atMost: 2))
        _ = try await store.record(Sample.grant(session: "s1"), renewing: Sample.session("s1"))
        try await store.record(Sample.refusal())
        // One that is not recorded leaves nothing in the chain.
        _ = try? await store.record(Sample.session("s1"), Sample.grant(session: "s1"))
        try await store.record([Sample.revocation(1), Sample.revocation(2, .rule("x"))])
        try await store.record([Sample.revocation(2, .rule("x"))])
        try await store.insertFirstSigningKeys([Sample.key("k1", .active), Sample.key("k2", .staged)])
        try await store.apply(
            KeyRingChange(
                [.init("k1", from: .active, to: .retiring), .init("k2", from: .staged, to: .active)], at: Sample.time),
            Sample.keyEvent(.keyRotated))
        try await store.begin(
            StoreGeneration(number: 2), with: [Sample.key("k3", .active)], Sample.keyEvent(.storeRestored))
        let report = try await intact(store)
        try expect(report.records == 8 && report.unsealed == 8, "\(report.records) records were checked")
        let marks = try await store.auditMarks(after: 0, limit: 100)
        try expect(marks.map(\.sequence) == Array(1...8), "\(marks.map(\.sequence))")
        try expect(Set(marks.map(\.hash)).count == 8 && marks.last == report.last, "hashes are not those of the chain")
        try expect(try await store.auditMarks(after: 3, limit: 2) == Array(marks[3..<5]), "another part of the marks")
    }

    static func checkpointsAreMade(_ store: any Store) async throws {
        try expect(try await store.makeCheckpoint() == nil, "a checkpoint without a key")
        try await store.record(Sample.refusal())
        try expect(try await store.makeCheckpoint() == nil, "a checkpoint without a key")
        _ = try await signing(store)
        guard let first = try await store.makeCheckpoint() else {
            throw ConformanceFailure(description: "no checkpoint was made")
        }
        try expect(first.number == 1 && first.sequence == 2 && first.count == 2, "\(first)")
        try expect(first.generation == 1, "\(first.generation)")
        try expect(try await store.makeCheckpoint() == first, "a checkpoint where nothing is new")
        for _ in 0..<CheckpointRhythm.records - 1 { try await store.record(Sample.refusal()) }
        try expect(try await store.checkpoints(after: 1, limit: 9).isEmpty, "a checkpoint behind 999 records")
        try await store.record(Sample.refusal())
        try await store.record(Sample.refusal())
        let second = try await store.checkpoints(after: 1, limit: 9)
        try expect(second.map(\.sequence) == [1002] && second[0].previous == first.digest, "\(second)")
        let found = try await store.checkpoints(behind: 3...1002)
        try expect(found == second, "\(found)")
        try expect(try await store.checkpoints(behind: 3...1001).isEmpty, "a checkpoint that was made elsewhere")
        let report = try await intact(store)
        try expect(report.checkpoints == 2 && report.unsealed == 1 && report.records == 1003, "\(report)")
    }

    static func chainInStretches(_ store: any Store) async throws {
        _ = try await signing(store)
        for count in 1...5 {
            for _ in 0..<count { try await store.record(Sample.refusal()) }
            _ = try await store.makeCheckpoint()
        }
        try await store.record(Sample.refusal())
        var (next, lengths, checkpoints): (Int64?, [Int64], Int64) = (nil, [], 0)
        repeat {
            let report = try await store.verifyAudit(after: next, records: 4)
            try expect(report.finding == nil, "\(report)")
            lengths.append(report.records)
            checkpoints += report.checkpoints
            next = report.next
        } while next != nil && lengths.count < 20
        // Each ends at the first checkpoint behind four: 2 + 2, 3 + 4, 5, and what is behind the last.
        try expect(lengths == [4, 7, 5, 1] && checkpoints == 5, "\(lengths)")
        try await expect(.conflict, "a stretch behind a checkpoint that is none") { () async throws(StoreFailure) in
            _ = try await store.verifyAudit(after: 99, records: 4)
        }
    }

    static func checkpointKeysAreSealed(_ store: any Store) async throws {
        let (masterKey, record) = try await signing(store)
        try expect(try await store.checkpointKeys() == [record], "the key came back otherwise")
        let rows = try await store.sealedRows()
        try expect(rows == [.checkpointKey(record)], "\(rows)")
        let (other, _) = try MasterKey.generate()
        let clock = ManualClock()
        let outcome = try await Rewrap(store, from: masterKey, to: other, clock: clock).run(
            by: .command(uid: 0, loginUID: nil))
        try expect(outcome == .init(resealed: 1, alreadySealed: 0), "\(outcome)")
        let keys = try await store.checkpointKeys()
        try expect(try CheckpointKeys(opening: keys, with: other)?.signing.keyID == record.keyID, "\(keys)")
        _ = try await store.makeCheckpoint()
        try expect(try await intact(store).checkpoints == 1, "no checkpoint")
    }
}
