import Broker
import BrokerTesting
import Foundation
import GRDB
import JOSE
import SPIFFE
import Testing

@testable import BrokerSQLite

@Suite struct `Uses in the SQLite store` {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private func record(_ id: String, _ use: SubjectTokenUse, _ store: SQLiteStore) async throws -> UseOutcome {
        try await store.record(Sample.session(id), Sample.grant(session: id), using: use)
    }

    @Test func `are still counted when the store is opened again`() async throws {
        let (use, session) = (Sample.use(atMost: 2), Sample.session("s1"))
        let first = try folder.open()
        #expect(try await record("s1", use, first) == .recorded)
        await first.close()
        let second = try folder.open(.existing)
        #expect(try await record("s2", use, second) == .joins(session))
        #expect(try await record("s1", use, second) == .recorded)
        #expect(try await record("s1", use, second) == .exhausted)
        await second.close()
    }

    @Test func `are forgotten a minute after their tokens expired, and not before`() async throws {
        let store = try folder.open()
        let expiry = Sample.time
        for (token, offset) in [-1.0, 0, 0.001, 60].enumerated() {
            let use = Sample.use(of: UInt8(token), atMost: 1, expires: expiry.addingTimeInterval(offset))
            #expect(try await record("s\(token)", use, store) == .recorded)
        }
        let minuteLater = expiry.addingTimeInterval(60)
        #expect(try await store.forgetUses(expiredAt: expiry, limit: 10) == 0)
        #expect(try await store.forgetUses(expiredAt: minuteLater, limit: 10) == 1)
        #expect(try await store.forgetUses(expiredAt: minuteLater, limit: 10) == 0)
        #expect(try await store.forgetUses(expiredAt: minuteLater.addingTimeInterval(0.001), limit: 10) == 1)
        #expect(try await store.forgetUses(expiredAt: minuteLater.addingTimeInterval(0.002), limit: 10) == 1)
        #expect(try folder.number("SELECT count(*) FROM uses") == 1)
        let last = Sample.use(of: 3, atMost: 1, expires: expiry.addingTimeInterval(60))
        #expect(try await record("other", last, store) == .exhausted)
        #expect(try folder.number("SELECT count(*) FROM sessions") == 4, "sessions stay")
        await store.close()
    }

    @Test func `are forgotten in batches, the oldest first`() async throws {
        let store = try folder.open()
        for token in 0..<7 {
            let use = Sample.use(of: UInt8(token), atMost: 1, expires: Sample.time.addingTimeInterval(Double(-token)))
            #expect(try await record("s\(token)", use, store) == .recorded)
        }
        let now = Sample.time.addingTimeInterval(3600)
        #expect(try await store.forgetUses(expiredAt: now, limit: 3) == 3)
        let left = try await store.perform("read uses") { try String.fetchAll($0, sql: "SELECT hex(token) FROM uses") }
        #expect(left.count == 4)
        #expect(try folder.number("SELECT min(expires) / 1000 FROM uses") == 1_700_000_000 - 3)
        #expect(try await store.forgetUses(expiredAt: now, limit: 3) == 3)
        #expect(try await store.forgetUses(expiredAt: now, limit: 3) == 1)
        #expect(try await store.forgetUses(expiredAt: now, limit: 3) == 0)
        await store.close()
    }

    @Test func `a token of two sessions loses both at once or neither of them`() async throws {
        let store = try folder.open()
        let use = Sample.use(atMost: 9)
        for rule in ["a", "b", "c"] as [ExactString] {
            let session = Sample.session(rule.string, rule: rule)
            #expect(try await store.record(session, Sample.grant(session: rule.string), using: use) == .recorded)
        }
        #expect(try await store.forgetUses(expiredAt: use.expires.addingTimeInterval(61), limit: 10) == 3)
        await store.close()
    }

    @Test func `a session that is missing is reported and never opened again by its token`() async throws {
        let store = try folder.open()
        let use = Sample.use(atMost: 9)
        #expect(try await record("s1", use, store) == .recorded)
        try await store.perform("damage the store") { try $0.execute(sql: "DELETE FROM sessions") }
        let event = Sample.grant(session: "s2")
        let failure = await #expect(throws: StoreFailure.self) {
            try await store.record(Sample.session("s2"), event, using: use)
        }
        #expect(failure?.code == .unreadable)
        #expect(try await store.auditEvents(trace: event.trace).isEmpty)
        // It was the record's own failure: others of the same time are not affected, and the store still works.
        try await store.record(Sample.session("s3"), Sample.grant(session: "s3"))
        #expect(await store.check() == nil)
        await store.close()
    }

    @Test(arguments: [
        "lineage = ''", "lineage = 's0 s2'", "actor = '[]'", "actor = '{'", "issuer = 'Not A Name'", "claims = ''",
    ])
    func `a damaged session is reported as unreadable`(damage: String) async throws {
        let store = try folder.open()
        try await store.record(Sample.session("s1"), Sample.grant(session: "s1"))
        #expect(try await store.session("s1") == Sample.session("s1"))
        try await store.perform("damage a session") { try $0.execute(sql: "UPDATE sessions SET \(damage)") }
        let failure = await #expect(throws: StoreFailure.self) { try await store.session("s1") }
        #expect(failure?.code == .unreadable)
        await store.close()
    }

    @Test func `a group of uses that failed to be written is counted from anew`() async throws {
        let store = try folder.open()
        let use = Sample.use(atMost: 1)
        let locker = try folder.connect()
        try await locker.writeWithoutTransaction { db in
            try db.execute(sql: "BEGIN IMMEDIATE")
        }
        let failure = await #expect(throws: StoreFailure.self) { try await record("s1", use, store) }
        #expect(failure?.code == .unavailable)
        try await locker.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
        #expect(try await record("s1", use, store) == .recorded)
        #expect(try await record("s1", use, store) == .exhausted)
        await store.close()
    }
}

@Suite struct `A store of the first schema` {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    /// A file as the first version made it, with two sessions, an audit record and a key.
    private func makeFirst() async throws {
        try await folder.connect().writeWithoutTransaction { db in
            try Connection.makeDurable(db)
            try Schema.migrate(db, to: 1)
            try db.execute(
                sql: """
                    INSERT INTO sessions (id, issuer, subject, rule, start, "end", claims) VALUES
                        ('s1', 'ci', 'ci:a', 'main', 1700000000000, 1700003600000, '{"sub":"a"}'),
                        ('s2', 'ci', 'ci:b', 'tags', 1700000000000, 1700003600000, '{}');
                    INSERT INTO audit (time, trace, kind, issuer, details) VALUES
                        (1700000000250, '00000000000000000000000000000001', 'exchange.refused', 'ci', '{}');
                    INSERT INTO signing_keys VALUES ('k1', 'ES256', 'active', x'00ff', 'm1', 1700000000000);
                    INSERT INTO issuers VALUES ('ci', 'https://ci.example.com');
                    """)
        }
    }

    @Test func `has neither lineage nor uses`() async throws {
        try await makeFirst()
        #expect(try folder.number("PRAGMA user_version") == 1)
        #expect(try folder.number("SELECT count(*) FROM pragma_table_info('sessions')") == 7)
        #expect(try folder.number("SELECT count(*) FROM sqlite_schema WHERE name = 'uses'") == 0)
    }

    @Test func `is brought up to date with all that it holds, each session alone in its lineage`() async throws {
        try await makeFirst()
        let store = try folder.open(.existing)
        let start = Date(timeIntervalSince1970: 1_700_000_000)
        let expected = SessionRecord(
            id: "s1", issuer: Sample.issuer, subject: "ci:a", rule: "main", start: start,
            end: start.addingTimeInterval(3600), claims: ["sub": "a"])
        #expect(try await store.session("s1") == expected)
        #expect(try await store.session("s1")?.lineage == ["s1"])
        #expect(try await store.session("s2")?.lineage == ["s2"])
        let trace = try #require(TraceID(parsing: "00000000000000000000000000000001"))
        #expect(try await store.auditEvents(trace: trace).count == 1)
        #expect(try await store.signingKeys().map(\.keyID) == ["k1"])
        #expect(
            try await store.record(Sample.session("s3"), Sample.refusal(), using: Sample.use(atMost: 1)) == .recorded)
        await store.close()
        #expect(try folder.number("PRAGMA user_version") == Schema.version)
        await (try folder.open(.existing)).close()
    }

    @Test func `stays as it was where bringing it up to date fails`() async throws {
        try await makeFirst()
        try await folder.connect().write { try $0.execute(sql: "CREATE TABLE uses (a)") }
        #expect(throws: StoreFailure.self) { try folder.open(.existing) }
        #expect(try folder.number("PRAGMA user_version") == 1)
        #expect(try folder.number("SELECT count(*) FROM pragma_table_info('sessions')") == 7)
        #expect(try folder.number("SELECT count(*) FROM sessions") == 2)
    }
}

@Suite struct `A session that is bound to a certificate` {
    @Test(arguments: ["x''", "x'00'", "zeroblob(31)", "zeroblob(33)"])
    func `is not read as one that is free when its binding is damaged`(written: String) async throws {
        let folder = try TemporaryFolder()
        let store = try folder.open()
        let session = Sample.session("s1", binding: CertificateFingerprint(ofDER: [1]))
        try await store.record(session, Sample.grant(session: "s1"))
        #expect(try await store.session("s1")?.binding == session.binding)
        try await folder.connect().write { try $0.execute(sql: "UPDATE sessions SET binding = \(written)") }
        await #expect(throws: StoreFailure.self) { try await store.session("s1") }
        await store.close()
    }
}
