import Broker
import BrokerTesting
import FoundationEssentials
import GRDB
import JOSE
import Testing

@testable import BrokerSQLite

@Suite struct `Signing keys in the SQLite store` {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private func connection() throws -> DatabaseQueue { try folder.connect() }

    @Test func `keys of an older store come along, the active one with the time of its making`() async throws {
        try await connection().writeWithoutTransaction { db in
            try Schema.migrate(db, to: 5)
            for (key, state) in [("k1", "active"), ("k2", "staged")] {
                try db.execute(
                    sql: "INSERT INTO signing_keys VALUES (?, 'ES256', ?, x'0102', 'm1', 1700000000250)",
                    arguments: [key, state])
            }
        }
        let store = try folder.open(.existing)
        let keys = try await store.signingKeys()
        #expect(keys.map(\.keyID) == ["k1", "k2"])
        #expect(keys.map(\.activated) == [Sample.time, nil])
        #expect(keys.allSatisfy { $0.stopped == nil && $0.ended == nil && $0.created == Sample.time })
        await store.close()
    }

    @Test(arguments: ["active", "staged"])
    func `not even another program makes two of them`(state: String) async throws {
        let store = try folder.open()
        try await store.insertFirstSigningKeys([Sample.key("k1", .active), Sample.key("k2", .staged)])
        let failure = await #expect(throws: DatabaseError.self) {
            try await connection().write {
                try $0.execute(
                    sql: """
                        INSERT INTO signing_keys (key_id, algorithm, state, sealed, master_key_id, created)
                        VALUES ('k3', 'ES256', ?, x'01', 'm1', 1)
                        """, arguments: [state])
            }
        }
        #expect(failure?.resultCode == .SQLITE_CONSTRAINT)
        await store.close()
    }

    @Test func `a change is on the disk with its record when the call returns`() async throws {
        let store = try folder.open()
        try await store.insertFirstSigningKeys([Sample.key("k1", .active), Sample.key("k2", .staged)])
        let change = KeyRingChange(
            [.init("k1", from: .active, to: .compromised), .init("k2", from: .staged, to: .active)],
            adding: [Sample.key("k3", .staged)], at: Sample.time)
        try await store.apply(change, Sample.keyEvent(.keyRevoked))
        #expect(try folder.number("SELECT count(*) FROM signing_keys WHERE state = 'active' AND key_id = 'k2'") == 1)
        #expect(try folder.number("SELECT count(*) FROM audit WHERE kind = 'key.revoked'") == 1)
        #expect(try folder.number("SELECT length(sealed) FROM signing_keys WHERE key_id = 'k1'") == 0)
        await store.close()
    }

    @Test func `a change whose record the disk does not take is not made`() async throws {
        let store = try folder.open()
        let keys = [Sample.key("k1", .active), Sample.key("k2", .staged)]
        try await store.insertFirstSigningKeys(keys)
        try await store.perform("refuse records") { db in
            try db.execute(
                sql: """
                    CREATE TEMP TRIGGER full BEFORE INSERT ON main.audit BEGIN SELECT RAISE(ABORT, 'no room'); END
                    """)
        }
        let change = KeyRingChange(
            [.init("k1", from: .active, to: .retiring), .init("k2", from: .staged, to: .active)],
            adding: [Sample.key("k3", .staged)], at: Sample.time)
        await #expect(throws: StoreFailure.self) { try await store.apply(change, Sample.keyEvent(.keyRotated)) }
        #expect(try await store.signingKeys() == keys)
        await store.close()
    }

    @Test func `a state of a newer version is unreadable and no other`() async throws {
        let store = try folder.open()
        try await store.insertFirstSigningKeys([Sample.key("k1", .active)])
        try await connection().write { try $0.execute(sql: "UPDATE signing_keys SET state = 'Active'") }
        let failure = await #expect(throws: StoreFailure.self) { try await store.signingKeys() }
        #expect(failure?.code == .unreadable)
        await store.close()
    }
}
