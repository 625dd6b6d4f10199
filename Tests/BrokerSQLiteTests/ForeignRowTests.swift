import Broker
import BrokerTesting
import Foundation
import GRDB
import JOSE
import Testing

@testable import BrokerSQLite

/// Rows that no broker makes: they are told of or passed over, and end neither the process nor take for ever.
@Suite(.timeLimit(.minutes(5))) struct `Rows that somebody put in` {
    private static let extremes: [Int64] = [.min, .min + 1, -1, 0, 1 << 48, (1 << 53) - 1, 1 << 53, .max - 1, .max]

    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    /// A store of three refusals and a session, with what `sql` puts in while it is open.
    private func store(with sql: String) async throws -> SQLiteStore {
        let store = try folder.open()
        for _ in 0..<3 { try await store.record(Sample.refusal()) }
        try await store.record(Sample.session("s1"), Sample.grant(session: "s1"))
        try await folder.connect().writeWithoutTransaction { try $0.execute(sql: sql) }
        return store
    }

    private static func record(_ number: Int64) -> String {
        """
        INSERT INTO audit (sequence, time, trace, kind, details)
        VALUES (\(number), 1000000000000, '00000000000000000000000000000000', 'exchange.refused', '{}');
        """
    }

    private static func segment(_ last: Int64) -> String {
        "INSERT INTO audit_index (id, last, earliest, latest, entries) VALUES (5, \(last), 0, 0, x'');"
    }

    /// Every way to read records, from the beginning to the end.
    private func readAll(_ store: SQLiteStore) async throws -> (found: Int, exported: Int, replayed: Int) {
        while try await store.indexAudit() {}
        try await store.pruneAuditIndex()
        var (found, before): (Int, Int64?) = (0, nil)
        for _ in 0..<100 {
            let part = try await store.auditRecords(AuditCondition(), before: before, limit: 2)
            found += part.records.count
            before = part.position
            if part.isLast { break }
        }
        _ = try await store.auditRecords(AuditCondition(rule: "none"), before: nil, limit: 2)
        var (exported, after, isLast): (Int, Int64, Bool) = (0, 0, false)
        for _ in 0..<100 where !isLast {
            let part = try await store.auditRecords(AuditCondition(), after: after, limit: 2)
            exported += part.records.count
            (after, isLast) = (part.position, part.isLast)
        }
        #expect(isLast)
        var (replayed, position, isDone): (Int, HistoryPosition?, Bool) = (0, nil, false)
        for _ in 0..<100 where !isDone {
            let part = HistoryPart(since: .distantPast, position: position, limit: 1000)
            let read = try await store.exchanges(part, into: 0) { count, _ in
                count += 1
                return true
            }
            replayed += read.state
            (position, isDone) = (read.next, read.next == nil)
        }
        #expect(isDone)
        return (found, exported, replayed)
    }

    @Test(arguments: extremes) func `a record with any number`(_ number: Int64) async throws {
        let store = try await store(with: Self.record(number))
        let isOne = AuditMark.numbers.contains(number)
        let read = try await readAll(store)
        #expect(read.exported == 4 + (isOne ? 1 : 0) && read.replayed == read.exported, "\(read)")
        #expect(try await store.verifyAudit(after: nil, records: .max).finding != nil)
        await store.close()
        // At the next start as well.
        let again = try folder.open(.existing)
        _ = try await readAll(again)
        await again.close()
    }

    @Test(arguments: extremes) func `a segment of the index that ends anywhere`(_ last: Int64) async throws {
        let store = try await store(with: Self.segment(last))
        #expect(try await readAll(store).exported == 4)
        try await folder.connect().writeWithoutTransaction { try $0.execute(sql: Self.record(.min + 1)) }
        #expect(try await readAll(store).exported == 4)
        await store.close()
        let again = try folder.open(.existing)
        #expect(try await readAll(again).exported == 4)
        await again.close()
    }

    @Test(arguments: extremes) func `a session with any number`(_ number: Int64) async throws {
        let columns = #"issuer, subject, rule, start, "end", claims, lineage, actor, binding, rev"#
        let store = try await store(
            with: """
                INSERT INTO sessions (rowid, id, \(columns))
                SELECT \(number), 's2', \(columns.replacing("lineage", with: "'s2'")) FROM sessions WHERE id = 's1'
                """)
        let condition = SessionCondition()
        let found = try await store.sessions(condition, at: .distantPast, before: nil, limit: 9)
        #expect(found.sessions.contains { $0.id == "s1" } && found.next == nil, "\(found)")
        let page = try await store.sessions(condition, at: .distantPast, before: nil, limit: 1)
        #expect(page.sessions.count == 1)
        await store.close()
    }

    @Test(arguments: [.min, 0, Int64(Int32.max) + 1, .max])
    func `a version of a credential with any number is unreadable`(_ number: Int64) async throws {
        let store = try await store(
            with: """
                INSERT INTO provider_credentials (provider, version, state, sealed, master_key_id, created, since, caller)
                VALUES ('anthropic', \(number), 'retired', x'', 'm', 0, 0, '{"kind":"daemon"}')
                """)
        let provider = try #require(ProviderName(parsing: "anthropic"))
        let failure = await #expect(throws: StoreFailure.self) { try await store.sealedCredentials(of: provider) }
        #expect(failure?.code == .unreadable)
        await store.close()
    }

    @Test func `uses that are many beyond counting exhaust a token`() async throws {
        let store = try await store(with: "SELECT 1")
        let use = Sample.use(atMost: 3)
        _ = try await store.record(Sample.session("u1"), Sample.grant(session: "u1"), using: use)
        try await folder.connect().writeWithoutTransaction { db in
            try db.execute(
                sql: """
                    UPDATE uses SET count = 9223372036854775807;
                    INSERT INTO uses SELECT expires, token, joining || 'x', session, count FROM uses;
                    """)
        }
        let outcome = try await store.record(Sample.session("u2"), Sample.grant(session: "u2"), using: use)
        #expect(outcome == .exhausted)
        await store.close()
    }

    @Test func `a record of many megabytes is named and not read`() async throws {
        let store = try await store(
            with: "UPDATE audit SET details = CAST(zeroblob(17000000) AS TEXT) WHERE sequence = 2")
        let finding = try await store.verifyAudit(after: nil, records: .max).finding
        #expect(finding?.kind == .altered && finding?.sequence == 2, "\(String(describing: finding))")
        #expect(finding?.message.hasPrefix("record 2 is longer than any that a broker makes") == true)
        await store.close()
    }
}
