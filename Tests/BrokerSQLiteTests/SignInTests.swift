import Broker
import BrokerTesting
import Foundation
import GRDB
import JOSE
import Testing

@testable import BrokerSQLite

@Suite struct `Sign-ins in the store` {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    @Test(arguments: [
        (true, false, "sign_ins_subject (issuer=? AND subject=?)"),
        (true, true, "sign_ins_subject (issuer=? AND subject=?)"),
        (false, true, "sign_ins_provider_session (provider_session=?)"),
    ])
    func `are found by an index`(bySubject: Bool, bySession: Bool, index: String) async throws {
        let store = try folder.open()
        let sql = try #require(SignInRow.selection(bySubject: bySubject, byProviderSession: bySession))
        let plan = try await store.perform("explain") { db in
            let arguments = StatementArguments(Array(repeating: 1, count: sql.count { $0 == "?" }))
            return try Row.fetchAll(db, sql: "EXPLAIN QUERY PLAN \(sql)", arguments: arguments)
                .map { $0["detail"] as String }
        }
        #expect(plan == ["SEARCH sign_ins USING INDEX \(index)"])
        await store.close()
    }

    @Test func `are found while the one who writes is busy`() async throws {
        let store = try folder.open()
        let signIn = Sample.signIn("s1", providerSession: "p1")
        _ = try await store.record(Sample.session("s1"), Sample.grant(session: "s1"), opening: signIn, token: [1])
        let gate = await store.occupy()
        let found = try await store.signIns(
            of: Sample.issuer, subject: Sample.session("s1").subject, providerSession: nil, at: Sample.time)
        #expect(found.map(\.id) == ["s1"])
        #expect(try await store.signIns(ofSessions: ["s1"])["s1"] == signIn)
        gate.open()
        await store.close()
    }

    @Test func `are forgotten with no more of their refresh tokens at once than is said`() async throws {
        let store = try folder.open()
        var signIn = Sample.signIn("s1")
        let session = Sample.session("s1")
        _ = try await store.record(session, Sample.grant(session: "s1"), opening: signIn, token: [0])
        for number in 1...9 {
            signIn = Sample.signIn("s1", generation: number)
            _ = try await store.record(
                Sample.grant(session: "s1"), rotating: signIn, of: session, token: [UInt8(number)])
        }
        let late = signIn.end.addingTimeInterval(1)
        for left in [6, 2] {
            #expect(try await store.forgetSignIns(endedBefore: late, limit: 4) == 4)
            #expect(try folder.number("SELECT count(*) FROM refresh_tokens") == left)
            #expect(try folder.number("SELECT count(*) FROM sign_ins") == 1)
        }
        #expect(try await store.forgetSignIns(endedBefore: late, limit: 4) == 3)
        #expect(try folder.number("SELECT count(*) FROM sign_ins") == 0)
        await store.close()
    }
}
