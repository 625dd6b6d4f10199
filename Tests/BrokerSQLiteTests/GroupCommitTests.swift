import Broker
import BrokerTesting
import GRDB
import JOSE
import Testing

@testable import BrokerSQLite

@Suite struct `Group commit` {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private func sessions(_ count: Int) -> [SessionRecord] {
        (0..<count).map { Sample.session("s\($0)") }
    }

    @Test func `fifty records that wait together become one transaction`() async throws {
        let store = try folder.open()
        let failures = await store.recordGroup(sessions(50))
        #expect(failures.isEmpty)
        #expect(store.commits.transactionCount == 1)
        #expect(try folder.number("SELECT count(*) FROM sessions") == 50)
        #expect(try folder.number("SELECT count(*) FROM audit") == 50)
        await store.close()
    }

    @Test func `a bad record fails alone, before, among and after good ones`() async throws {
        let store = try folder.open()
        try await store.record(Sample.session("s1"), Sample.grant(session: "s1"))
        let gate = await store.occupy()
        var attempts: [Task<StoreFailure.Code?, Never>] = []
        for (position, id) in (["s1", "a", "b", "s1", "c", "s1"] as [String]).enumerated() {
            attempts.append(
                Task {
                    let failure = await store.recordAll([Sample.session(id)])
                    return failure[id]?.code
                })
            // One after the other, so that their order in the group is this one.
            await store.waits(for: position + 1)
        }
        gate.open()
        var codes: [StoreFailure.Code?] = []
        for attempt in attempts { codes.append(await attempt.value) }
        #expect(codes == [.conflict, nil, nil, .conflict, nil, .conflict])
        #expect(store.commits.transactionCount == 2)
        #expect(try folder.number("SELECT count(*) FROM sessions") == 4)
        #expect(try folder.number("SELECT count(*) FROM audit") == 4)
        #expect(await store.check() == nil)
        await store.close()
    }

    @Test func `a record whose second row is bad leaves no first row`() async throws {
        let store = try folder.open()
        try await store.perform("forbid an event") { db in
            try db.execute(
                sql: """
                    CREATE TEMP TRIGGER forbidden BEFORE INSERT ON main.audit WHEN new.session = 'bad'
                    BEGIN SELECT RAISE(ABORT, 'forbidden'); END
                    """)
        }
        let group = ["a", "bad", "b"].map { Sample.session($0) }
        let failures = await store.recordGroup(group)
        #expect(failures.mapValues(\.code) == ["bad": .conflict])
        #expect(try folder.number("SELECT count(*) FROM sessions") == 2)
        #expect(try folder.number("SELECT count(*) FROM audit") == 2)
        await store.close()
    }

    @Test func `a row that ends the whole transaction fails all of its group`() async throws {
        let store = try folder.open()
        try await store.perform("forbid an event") { db in
            try db.execute(
                sql: """
                    CREATE TEMP TRIGGER forbidden BEFORE INSERT ON main.audit WHEN new.session = 'bad'
                    BEGIN SELECT RAISE(ROLLBACK, 'forbidden'); END
                    """)
        }
        let group = ["a", "bad", "b"].map { Sample.session($0) }
        let failures = await store.recordGroup(group)
        #expect(failures.count == 3)
        #expect(try folder.number("SELECT count(*) FROM sessions") == 0)
        #expect(try folder.number("SELECT count(*) FROM audit") == 0)
        #expect(await store.recordAll([group[0]]).isEmpty)
        await store.close()
    }

    @Test func `more than may wait are refused at once and the others kept`() async throws {
        let store = try folder.open(waitingBound: 8)
        let gate = await store.occupy()
        let sessions = sessions(8)
        async let waiting = store.recordAll(sessions)
        await store.waits(for: 8)
        // The queue is occupied still, so that only a refusal can return.
        let refused = await store.recordAll([Sample.session("late")])
        gate.open()
        #expect(refused["late"]?.code == .unavailable)
        #expect(await waiting.isEmpty)
        #expect(try folder.number("SELECT count(*) FROM sessions") == 8)
        #expect(await store.recordAll([Sample.session("late")]).isEmpty)
        await store.close()
    }
}
