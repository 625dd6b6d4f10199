import Broker
import BrokerTesting
import GRDB
import JOSE
import SPIFFE
import Testing

@testable import BrokerSQLite

@Suite struct `Trust bundles in the SQLite store` {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private func record(_ sequence: UInt64?, _ sealed: [UInt8] = [0, 255]) throws -> TrustBundleRecord {
        TrustBundleRecord(
            trustDomain: try TrustDomain(parsing: "prod.example.com"), endpoint: "https_web https://a.example/",
            sequence: sequence, sealed: sealed, masterKeyID: "m1", updated: Sample.time)
    }

    @Test func `outlive the process, and the sequence with them`() async throws {
        let kept = try record(.max)
        let first = try folder.open()
        try await first.keep(kept)
        await first.close()
        let second = try folder.open(.existing)
        #expect(try await second.trustBundle(of: kept.trustDomain) == kept)
        let older = try record(.max - 1)
        let failure = await #expect(throws: StoreFailure.self) { try await second.keep(older) }
        #expect(failure?.code == .conflict)
        await second.close()
    }

    @Test func `find their table in a store of the fourth schema`() async throws {
        try await folder.connect().writeWithoutTransaction { db in
            try Connection.makeDurable(db)
            try Schema.migrate(db, to: 4)
        }
        #expect(try folder.number("SELECT count(*) FROM sqlite_schema WHERE name = 'trust_bundles'") == 0)
        let store = try folder.open(.existing)
        try await store.keep(record(1))
        #expect(try folder.number("PRAGMA user_version") == Schema.version)
        #expect(try folder.number("SELECT count(*) FROM trust_bundles") == 1)
        await store.close()
    }

    @Test(arguments: ["'-1'", "'1x'", "''", "'18446744073709551616'", "' 1'"])
    func `with a sequence that cannot be read are unreadable, and not without one`(_ sequence: String) async throws {
        let store = try folder.open()
        let kept = try record(7)
        try await store.keep(kept)
        try await store.perform("damage") { try $0.execute(sql: "UPDATE trust_bundles SET sequence = \(sequence)") }
        let failure = await #expect(throws: StoreFailure.self) { _ = try await store.trustBundle(of: kept.trustDomain) }
        #expect(failure?.code == .unreadable)
        await #expect(throws: StoreFailure.self) { try await store.keep(kept) }
        await store.close()
    }
}
