import Broker
import BrokerTesting
import FoundationEssentials
import GRDB
import JOSE
import Testing

@testable import BrokerSQLite

@Suite struct `When the disk is full or the file locked` {
    let folder: TemporaryFolder
    private let large: JSONObject = ["claims": .string(ExactString(String(repeating: "x", count: 2000)))]

    init() throws {
        folder = try TemporaryFolder()
    }

    private func limitPages(of store: SQLiteStore, toThoseInUseAnd spare: Int) async throws {
        try await store.perform("limit the pages") { db in
            let inUse = try Int.fetchOne(db, sql: "PRAGMA page_count") ?? 0
            try db.execute(sql: "PRAGMA max_page_count = \(inUse + spare)")
        }
    }

    @Test(arguments: [0, 3, 20])
    func `a full disk fails the whole group, records nothing of it and is recovered from`(_ spare: Int) async throws {
        let store = try folder.open()
        try await store.record(Sample.session("first"), Sample.grant(session: "first"))
        try await limitPages(of: store, toThoseInUseAnd: spare)
        let group = (0..<50).map { Sample.session("s\($0)") }

        let failures = await store.recordGroup(group, details: large)
        #expect(failures.count == 50)
        #expect(failures.values.allSatisfy { $0.code == .unavailable })
        #expect(failures["s0"]?.cause == "database or disk is full (SQLite code 13)")
        #expect(try folder.number("SELECT count(*) FROM sessions") == 1)
        #expect(try folder.number("SELECT count(*) FROM audit") == 1)

        try await limitPages(of: store, toThoseInUseAnd: 1_000_000)
        #expect(await store.recordGroup(group, details: large).isEmpty)
        #expect(try folder.number("SELECT count(*) FROM sessions") == 51)
        #expect(try folder.number("SELECT count(*) FROM audit") == 51)
        await store.close()
    }

    @Test func `a revoked signing key stays out while the disk is full, and is recorded when it is not`() async throws {
        let store = try folder.open()
        let masterKey = try MasterKey.generate().0
        let keys = try [SigningKeyRecord.State.active, .staged].map {
            try SigningKey.generate(.ES256, state: $0, sealedWith: masterKey, at: Sample.time)
        }
        try await store.insertFirstSigningKeys(keys)
        let holder = StateHolder(BrokerState(keyRing: try KeyRing(opening: keys, with: masterKey)))
        let rotation = try KeyRotation(
            store, holding: keys, sealedWith: masterKey, SigningConfiguration(), publishingIn: holder,
            clock: ManualClock(), logger: .silent)
        let caller = Caller.socket(uid: 0, loginUID: nil, pid: 1)
        try await limitPages(of: store, toThoseInUseAnd: 0)
        // Rows of pages that are there still fit; those that a ring of many keys needs do not.
        var refusal: KeyRotationFailure?
        while refusal == nil {
            do {
                _ = try await rotation.rotate(force: true, by: caller)
            } catch {
                refusal = error
            }
        }
        guard case .store(let failure) = refusal else {
            Issue.record("refused otherwise: \(String(describing: refusal))")
            return
        }
        #expect(failure.cause == "database or disk is full (SQLite code 13)")
        let active = holder.current.keyRing.active.jwk.keyID
        #expect(try await store.signingKeys().first { $0.state == .active }?.keyID == active)

        let revoked = try await rotation.revoke(active, by: caller)
        #expect(!revoked.isDurable)
        #expect(holder.current.keyRing.published[active] == nil)
        #expect(try await store.signingKeys().first { $0.keyID == active }?.state == .active)
        try await limitPages(of: store, toThoseInUseAnd: 1_000_000)
        await rotation.tick()
        #expect(try await store.signingKeys().first { $0.keyID == active }?.state == .compromised)
        #expect(
            try await store.signingKeys().first { $0.state == .active }?.keyID
                == holder.current.keyRing.active.jwk.keyID)
        await store.close()
    }

    @Test func `what another program has locked is unavailable until it is free again`() async throws {
        let store = try folder.open()
        let other = try folder.connect()
        try await other.writeWithoutTransaction { try $0.execute(sql: "BEGIN EXCLUSIVE") }
        let failures = await store.recordGroup((0..<5).map { Sample.session("s\($0)") })
        #expect(failures.count == 5)
        #expect(failures.values.allSatisfy { $0.code == .unavailable })
        #expect(failures["s0"]?.cause == "database is locked (SQLite code 5)")
        await #expect(throws: StoreFailure.self) { try await store.insertFirstSigningKeys([Sample.key("k1", .active)]) }
        await #expect(throws: StoreFailure.self) { try await store.bind([Sample.issuer: "https://one.example.com"]) }
        // Reading goes on.
        #expect(try await store.signingKeys().isEmpty)

        try await other.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
        #expect(await store.recordAll((0..<5).map { Sample.session("s\($0)") }).isEmpty)
        try await store.insertFirstSigningKeys([Sample.key("k1", .active)])
        #expect(try folder.number("SELECT count(*) FROM sessions") == 5)
        await store.close()
    }

    @Test func `a group whose commit fails is not recorded`() async throws {
        let store = try folder.open()
        try await store.failCommitsOfBadSessions()
        let failures = await store.recordGroup(["a", "bad", "b"].map { Sample.session($0) })
        #expect(failures.mapValues(\.code) == ["a": .unavailable, "bad": .unavailable, "b": .unavailable])
        #expect(try folder.number("SELECT count(*) FROM sessions") == 0)
        #expect(await store.recordAll([Sample.session("a")]).isEmpty)
        #expect(try folder.number("SELECT count(*) FROM sessions") == 1)
        await store.close()
    }

    @Test func `an outage is reported since its beginning and ends by itself without a request`() async throws {
        let clock = ManualClock()
        let store = try folder.open(clock: clock)
        #expect(await store.check() == nil)
        let other = try folder.connect()
        try await other.writeWithoutTransaction { try $0.execute(sql: "BEGIN EXCLUSIVE") }

        #expect(await store.recordAll([Sample.session("a")]).count == 1)
        let began = clock.now
        clock.advance(by: .seconds(10))
        #expect(await store.recordAll([Sample.session("a")]).count == 1)
        let outage = await store.check()
        #expect(outage?.since == began)
        #expect(outage?.failure.code == .unavailable)

        clock.advance(by: .seconds(10))
        #expect(await store.check()?.since == began)
        try await other.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
        // Not tried twice in a second.
        #expect(await store.check()?.since == began)
        let before = store.commits.transactionCount
        clock.advance(by: .seconds(1))
        #expect(await store.check() == nil)
        #expect(store.commits.transactionCount == before + 1)
        #expect(await store.check() == nil)
        #expect(store.commits.transactionCount == before + 1)
        await store.close()
    }

    @Test func `an outage is logged once, and its end once`() async throws {
        let log = LogRecorder()
        let store = try folder.open(logger: log.logger)
        let other = try folder.connect()
        for _ in 1...2 {
            try await other.writeWithoutTransaction { try $0.execute(sql: "BEGIN EXCLUSIVE") }
            for _ in 1...3 { _ = await store.recordAll([Sample.session("a")]) }
            try await other.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
            for _ in 1...3 { try await store.record(Sample.refusal()) }
        }
        let (began, ended) = ("the store cannot record", "the store records again")
        #expect(log.messages == [began, ended, began, ended])
        let since = try #require(log.lines.last?.split(separator: "since=").last)
        #expect((try? Date(String(since), strategy: .iso8601)) != nil, "as all times are written: \(since)")
        await store.close()
    }

    @Test func `no value that was to be stored is in a failure or in the log`() async throws {
        let marker = "marker-4711"
        let (text, log) = (ExactString(marker), LogRecorder())
        let store = try folder.open(logger: log.logger)
        let session = SessionRecord(
            id: text, issuer: Sample.issuer, subject: text, rule: text, start: Sample.time, end: Sample.time,
            claims: ["sub": .string(text)])
        let event = AuditEvent(
            time: Sample.time, trace: TraceID(), kind: .exchangeGranted, issuer: Sample.issuer, subject: text,
            rule: text, sessionID: text, tokenID: text, reason: marker, details: ["sub": .string(text)])
        let key = SigningKeyRecord(
            keyID: text, algorithm: .ES256, state: .active, sealed: Array(marker.utf8), masterKeyID: text,
            created: Sample.time)
        var failures: [StoreFailure] = []
        func collect(_ body: () async throws(StoreFailure) -> Void) async {
            do throws(StoreFailure) { try await body() } catch { failures.append(error) }
        }

        try await store.record(session, event)
        await collect { () async throws(StoreFailure) in try await store.record(session, event) }
        await collect { () async throws(StoreFailure) in try await store.insertFirstSigningKeys([key, key]) }
        try await store.perform("break the table") { try $0.execute(sql: "ALTER TABLE audit RENAME TO other") }
        await collect { () async throws(StoreFailure) in try await store.record(session, event) }
        await collect { () async throws(StoreFailure) in try await store.record(event) }
        #expect(failures.count == 4)
        #expect(failures.map(\.code) == [.conflict, .conflict, .unavailable, .unavailable])
        for words in failures.map(\.description) + failures.map({ "\($0.cause)" }) + log.lines {
            #expect(!words.contains(marker))
        }
        #expect(!log.lines.isEmpty)
        await store.close()
    }
}
