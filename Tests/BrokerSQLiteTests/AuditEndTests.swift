import Broker
import BrokerTesting
import Foundation
import GRDB
import JOSE
import Testing

@testable import BrokerSQLite

@Suite struct `An audit trail that somebody ended` {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    /// Leaves so many numbers for further records.
    private func putIn(leaving room: Int64) async throws {
        try await folder.connect().writeWithoutTransaction {
            try $0.execute(
                sql: "INSERT INTO audit (sequence, time, trace, kind, details) VALUES (?, 1, 'a', 'key.staged', '{}')",
                arguments: [AuditMark.numbers.upperBound - room])
        }
    }

    @Test(arguments: [0, 1] as [Int64], [true, false])
    func `grants nothing more, and every revocation is stored, without a record`(
        room: Int64, isRunning: Bool
    ) async throws {
        let (log, refusal) = (LogRecorder(), "the audit trail ends with a record that no broker made")
        var store = try folder.open(logger: log.logger)
        _ = try await StoreConformance.signing(store)
        try await store.insertFirstSigningKeys([Sample.key("k1", .active), Sample.key("k2", .staged)])
        try await store.record(Sample.refusal())
        let keys = try #require(store.commits.trail.keys)
        if isRunning {
            try await putIn(leaving: room)
        } else {
            await store.close()
            try await putIn(leaving: room)
            store = try folder.open(.existing, logger: log.logger)
            store.sign(with: keys)
            #expect(try await store.verifyAuditAtStart().finding != nil)
        }
        for _ in 0..<room { try await store.record(Sample.refusal()) }
        // With the last number it says so at once.
        #expect((await store.check() == nil) == (room == 0))

        let granting = await #expect(throws: StoreFailure.self) {
            try await store.record(Sample.session("s"), Sample.grant(session: "s"))
        }
        #expect(granting?.code == .unreadable && granting?.cause.hasPrefix(refusal) == true)
        #expect(try folder.number("SELECT count(*) FROM sessions") == 0)
        #expect(await store.check()?.failure.cause.hasPrefix(refusal) == true)

        let records = try folder.number("SELECT count(*) FROM audit")
        try await store.record([Sample.revocation(1), Sample.revocation(2, .session("a"))])
        try await store.apply(
            KeyRingChange(
                [.init("k1", from: .active, to: .compromised), .init("k2", from: .staged, to: .active)],
                adding: [Sample.key("k3", .staged)], at: Sample.time), Sample.keyEvent(.keyRevoked))
        #expect(
            log.lines.filter { $0.hasPrefix("error stored without an audit record") }.map { $0.suffix(1) } == [
                "2", "1",
            ])
        #expect(await store.check() != nil, "nothing else goes through")
        // What gives somebody something back is on record, or not done.
        let rotation = KeyRingChange(
            [.init("k3", from: .staged, to: .active), .init("k2", from: .active, to: .retiring)],
            adding: [Sample.key("k4", .staged)], at: Sample.time)
        let rotating = await #expect(throws: StoreFailure.self) {
            try await store.apply(rotation, Sample.keyEvent(.keyRotated))
        }
        #expect(rotating?.code == .unreadable)
        await #expect(throws: StoreFailure.self) {
            try await store.lift(blocksOf: [1], Sample.refusal())
        }
        #expect(try await store.verifyAudit(after: nil, records: .max).finding != nil)
        let told = log.lines.count { $0.contains("was changed by somebody else") }
        #expect(isRunning ? told == 1 : told <= 1)
        await store.close()

        store = try folder.open(.existing)
        #expect(try await store.revocations().map(\.sequence) == [1, 2])
        #expect(try await store.highestRevocation() == 2)
        #expect(try await store.signingKeys().map(\.state) == [.compromised, .active, .staged])
        try await store.record([Sample.revocation(3)])
        #expect(try await store.revocations().count == 3)
        #expect(try folder.number("SELECT count(*) FROM audit") == records)
        await store.close()
    }
}
