import Broker
import BrokerTesting
import Foundation
import GRDB
import JOSE
import Testing

@testable import BrokerSQLite

@Suite struct `Provider credentials in the SQLite store` {
    let folder: TemporaryFolder
    private let provider: ProviderName

    init() throws {
        folder = try TemporaryFolder()
        provider = try #require(ProviderName(parsing: "anthropic"))
    }

    private func add(_ number: Int, to store: SQLiteStore, sealed: [UInt8] = [0, 1, 0, 255]) async throws {
        let credential = Sample.credential("anthropic", number, sealed: sealed)
        try await store.apply(
            CredentialChange(provider, .add(credential), at: Sample.time), Sample.keyEvent(.credentialAdded))
    }

    private func promote(_ number: Int, former: Int?, in store: SQLiteStore) async throws {
        try await store.apply(
            CredentialChange(provider, .promote(number, from: .staged, former: former), at: Sample.time),
            Sample.keyEvent(.credentialPromoted))
    }

    @Test func `an older store gets the table when it is opened`() async throws {
        try await folder.connect().writeWithoutTransaction { try Schema.migrate($0, to: 8) }
        let store = try folder.open(.existing)
        try await add(1, to: store)
        #expect(try await store.sealedCredentials(of: provider).count == 1)
        await store.close()
    }

    @Test func `not even another program makes two active versions, or one number twice`() async throws {
        let store = try folder.open()
        try await add(1, to: store)
        try await add(2, to: store)
        try await promote(1, former: nil, in: store)
        for sql in [
            "UPDATE provider_credentials SET state = 'active' WHERE version = 2",
            "UPDATE provider_credentials SET version = 1 WHERE version = 2",
        ] {
            let failure = await #expect(throws: DatabaseError.self) {
                try await folder.connect().write { try $0.execute(sql: sql) }
            }
            #expect(failure?.resultCode == .SQLITE_CONSTRAINT)
        }
        await store.close()
    }

    @Test func `a change is on the disk with its record when the call returns`() async throws {
        let store = try folder.open()
        try await add(1, to: store)
        try await promote(1, former: nil, in: store)
        #expect(try folder.number("SELECT count(*) FROM provider_credentials WHERE state = 'active'") == 1)
        #expect(try folder.number("SELECT count(*) FROM audit WHERE kind = 'credential.promoted'") == 1)
        await store.close()
    }

    @Test func `a change whose record the disk does not take is not made, and no version is lost`() async throws {
        let store = try folder.open()
        try await add(1, to: store)
        try await add(2, to: store)
        try await promote(1, former: nil, in: store)
        let before = try await store.sealedCredentials(of: provider)
        try await store.perform("refuse records") { db in
            try db.execute(
                sql: "CREATE TEMP TRIGGER full BEFORE INSERT ON main.audit BEGIN SELECT RAISE(ABORT, 'no room'); END")
        }
        await #expect(throws: StoreFailure.self) { try await promote(2, former: 1, in: store) }
        await #expect(throws: StoreFailure.self) { try await add(3, to: store) }
        await #expect(throws: StoreFailure.self) {
            try await store.apply(
                CredentialChange(provider, .retire(2, from: .staged, beside: 1), at: Sample.time),
                Sample.keyEvent(.credentialRetired))
        }
        #expect(try await store.sealedCredentials(of: provider) == before)
        await store.close()
    }

    /// Long ones lie on pages of their own, which the file keeps when they are given up.
    @Test(arguments: [40, 5000, 65_564]) func `what is retired is in no file of the store any more`(_ count: Int)
        async throws
    {
        let pattern = (0..<32).map { _ in UInt8.random(in: 1...255) }
        let sealed = Array([[UInt8]](repeating: pattern, count: count / 32 + 1).flatMap { $0 }.prefix(count))
        let store = try folder.open()
        try await add(1, to: store, sealed: sealed)
        try await add(2, to: store)
        #expect(try await store.sealedCredentials(of: provider)[0].sealed == sealed)
        try await store.apply(
            CredentialChange(provider, .retire(1, from: .staged, beside: nil), at: Sample.time),
            Sample.keyEvent(.credentialRetired))
        await store.close()
        for file in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
            #expect(Data(try folder.contents(of: file)).range(of: Data(pattern)) == nil, "\(file)")
        }
    }

    @Test func `numbers that another store gave out are skipped, and none that is there changes`() async throws {
        let store = try folder.open()
        try await add(1, to: store)
        try await add(2, to: store)
        let openai = try #require(ProviderName(parsing: "openai"))
        let before = try await store.sealedCredentials(of: provider)
        let numbers = [CredentialPosition(provider, 2), CredentialPosition(openai, 7)]
        let skipped = try await store.skipCredentials(to: numbers, at: Sample.time, masterKeyID: "m1")
        #expect(skipped == [CredentialPosition(openai, 7)])
        #expect(try await store.sealedCredentials(of: provider) == before)
        let added = try await store.skipCredentials(
            to: [CredentialPosition(provider, 5)], at: Sample.time, masterKeyID: "m1")
        #expect(added == [CredentialPosition(provider, 5)])
        #expect(try await store.sealedCredentials(of: provider).map(\.version.number) == [1, 2, 5])
        try await add(6, to: store)
        #expect(try await store.sealedRows().map(\.id) == ["anthropic/1", "anthropic/2", "anthropic/6"])
        await store.close()
    }

    @Test func `of a newer version is unreadable and no other`() async throws {
        for change in ["state = 'Active'", "provider = 'Anthropic'", "caller = '{}'", "version = 'one'"] {
            let folder = try TemporaryFolder()
            let store = try folder.open()
            try await store.apply(
                CredentialChange(provider, .add(Sample.credential("anthropic", 1)), at: Sample.time),
                Sample.keyEvent(.credentialAdded))
            let changed = Result {
                try folder.connect().write { try $0.execute(sql: "UPDATE provider_credentials SET \(change)") }
            }
            if case .success = changed {
                let failure = await #expect(throws: StoreFailure.self) { try await store.sealedRows() }
                #expect(failure?.code == .unreadable, "\(change)")
            }
            await store.close()
        }
    }
}
