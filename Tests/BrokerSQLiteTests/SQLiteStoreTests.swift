import Broker
import BrokerTesting
import GRDB
import JOSE
import Testing

@testable import BrokerSQLite

@Suite struct `The SQLite store` {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    @Test(arguments: StoreConformance.allCases)
    func `keeps the promises of a store`(_ promise: StoreConformance) async throws {
        let store = try folder.open()
        try await promise.check(store)
        await store.close()
    }

    @Test func `keeps everything when it is closed and opened again`() async throws {
        let (event, key) = (Sample.grant(session: "s1"), Sample.key("k1", .active))
        let first = try folder.open()
        try await first.record(Sample.session("s1"), event)
        try await first.insertFirstSigningKeys([key])
        try await first.bind([Sample.issuer: "https://one.example.com"])
        await first.close()

        let second = try folder.open(.existing)
        #expect(try await second.auditEvents(trace: event.trace).first?.isSame(as: event) == true)
        #expect(try await second.signingKeys() == [key])
        #expect(try folder.number("SELECT count(*) FROM sessions") == 1)
        await #expect(throws: StoreFailure.self) { try await second.bind([Sample.issuer: "https://two.example.com"]) }
        await #expect(throws: StoreFailure.self) {
            try await second.record(Sample.session("s1"), Sample.grant(session: "s1"))
        }
        await second.close()
    }

    @Test func `binds no name where the record of it cannot be made`() async throws {
        let store = try folder.open()
        try await store.perform("refuse records") {
            let refusal =
                "CREATE TEMP TRIGGER refusal BEFORE INSERT ON main.audit BEGIN SELECT RAISE(ABORT, 'full'); END"
            try $0.execute(sql: refusal)
        }
        let event = Sample.keyEvent(.configurationReloaded)
        await #expect(throws: StoreFailure.self) {
            try await store.bind([Sample.issuer: "https://one.example.com"], recording: event)
        }
        #expect(try folder.number("SELECT count(*) FROM issuers") == 0)
        try await store.perform("take records again") { try $0.execute(sql: "DROP TRIGGER refusal") }
        try await store.bind([Sample.issuer: "https://two.example.com"], recording: event)
        #expect(try folder.number("SELECT count(*) FROM audit") == 1)
        await store.close()
    }

    @Test func `has a record in the file when the call returns, for other programs to see`() async throws {
        let store = try folder.open()
        for count in 1...20 {
            try await store.record(Sample.session("s\(count)"), Sample.grant(session: "s\(count)"))
            #expect(try folder.number("SELECT count(*) FROM sessions") == count)
            #expect(try folder.number("SELECT count(*) FROM audit") == count)
        }
        await store.close()
    }

    @Test func `keeps sessions value for value, NUL included`() async throws {
        let store = try folder.open()
        let claims: JSONObject = ["a\0b": "c\0d", "n": .number(-0.5), "list": [true, .null, ["x": ""]]]
        try await store.record(Sample.session("s\0", claims: claims), Sample.grant(session: "s\0"))
        let row = try await store.perform("read a session") { db in
            try Row.fetchCursor(db, sql: #"SELECT id, start, "end", claims FROM sessions"#).mapToArray {
                (try $0.text(0), try $0.date(1), try $0.date(2), try $0.object(3))
            }.first
        }
        let session = Sample.session("s\0")
        #expect(row?.0 == "s\0" && row?.1 == session.start && row?.2 == session.end)
        #expect(row?.3.encoded() == claims.encoded())
        await store.close()
    }

    @Test func `answers unavailable to everything once it is closed`() async throws {
        let store = try folder.open()
        await store.close()
        await store.close()
        func expectClosed(_ body: () async throws(StoreFailure) -> Void) async {
            let failure = await #expect(throws: StoreFailure.self) { try await body() }
            #expect(failure?.code == .unavailable && failure?.cause == "the store is closed")
        }
        await expectClosed { () async throws(StoreFailure) in try await store.record(Sample.refusal()) }
        await expectClosed { () async throws(StoreFailure) in
            try await store.record(Sample.session("s1"), Sample.grant(session: "s1"))
        }
        await expectClosed { () async throws(StoreFailure) in _ = try await store.signingKeys() }
        await expectClosed { () async throws(StoreFailure) in _ = try await store.auditEvents(trace: TraceID()) }
        await expectClosed { () async throws(StoreFailure) in try await store.bind([:]) }
        await expectClosed { () async throws(StoreFailure) in try await store.insertFirstSigningKeys([]) }
    }

    @Test func `leaves no log behind when it is closed`() async throws {
        let store = try folder.open()
        try await store.record(Sample.refusal())
        #expect(mode(of: folder.file + "-wal") != nil)
        await store.close()
        #expect(mode(of: folder.file + "-wal") == nil)
        #expect(try folder.number("SELECT count(*) FROM audit") == 1)
    }

    @Test func `finishes what waits before it closes`() async throws {
        let store = try folder.open()
        let gate = await store.occupy()
        async let recording = store.recordAll((0..<20).map { Sample.session("s\($0)") })
        await store.waits(for: 20)
        async let closing: Void = store.close()
        while !store.commits.isClosed { await Task.yield() }
        gate.open()
        await closing
        let failures = await recording
        #expect(failures.isEmpty)
        #expect(try folder.number("SELECT count(*) FROM sessions") == 20)
    }

    @Test func `reports damage to a record as unreadable and does not trap`() async throws {
        let store = try folder.open()
        let (good, damaged) = (Sample.refusal(), Sample.refusal())
        try await store.record(good)
        try await store.record(damaged)
        for damage in ["details = '{\"a\":1,\"a\":2}'", "kind = 'unknown'", "issuer = 'Not A Name'"] {
            try await store.perform("damage a record") { db in
                try db.execute(
                    sql: "UPDATE audit SET \(damage) WHERE trace = ?", arguments: [damaged.trace.description])
            }
            let failure = await #expect(throws: StoreFailure.self) {
                _ = try await store.auditEvents(trace: damaged.trace)
            }
            #expect(failure?.code == .unreadable)
        }
        #expect(try await store.auditEvents(trace: good.trace).count == 1)
        await store.close()
    }
}
