import Broker
import BrokerTesting
import Foundation
import JOSE
import Logging
import Testing

/// The control path: numbers, durability, bounds, pruning.
@Suite struct RevocationsTests {
    private let store = MemoryStore()
    private let clock = ManualClock()
    private let log = LogRecorder()
    private let state: StateHolder
    private let revocations: Revocations
    private let full = StoreFailure(.unavailable, "record", cause: "the disk is full")

    init() throws {
        state = StateHolder(BrokerState(keyRing: try Fixture.keyRing()))
        revocations = Revocations(store, publishedIn: state, clock: clock, logger: log.logger)
    }

    private func restarted() async throws -> (Revocations, StateHolder) {
        let state = StateHolder(BrokerState(keyRing: try Fixture.keyRing()))
        let revocations = Revocations(store, publishedIn: state, clock: clock, logger: log.logger)
        try await revocations.restore()
        return (revocations, state)
    }

    @discardableResult
    private func revoke(_ target: Revocation.Target = .all, block: Revocation.Block? = nil) async throws
        -> RevocationOutcome
    {
        try await revocations.revoke(RevocationRequest(target, reason: "why", block: block), by: .daemon)
    }

    @Test func `is recorded with number, target, reason, block and caller`() async throws {
        let caller = Caller.socket(uid: 1000, loginUID: 1001, pid: 7)
        let request = try RevocationRequest(.subject("corp:alice"), reason: "left", block: .init(until: nil))
        let trace = TraceID()
        let outcome = try await revocations.revoke(request, by: caller, trace: trace)
        #expect(outcome.revocation?.sequence == 1 && outcome.isDurable)
        #expect(try await store.revocations() == outcome.revocations)
        let event = try #require(try await store.auditEvents(trace: trace).first)
        let issuer = try Fixture.name("corp")
        #expect(event.kind == .revoked && event.subject == "corp:alice" && event.issuer == issuer)
        #expect(event.details["reason"] == "left" && event.details["block"] == [:])
        #expect(event.details["caller"] == ["by": "socket", "uid": 1000, "login_uid": 1001, "pid": 7])
    }

    @Test func `numbers ascend without a gap, also of many at once, and each is in force by its number`() async throws {
        let numbers = try await withThrowingTaskGroup(of: UInt64.self) { group in
            for index in 0..<200 {
                group.addTask {
                    let outcome = try await revoke(.session(ExactString("s\(index)")))
                    let number = try #require(outcome.revocation?.sequence)
                    #expect(state.current.revocations.highest >= number)
                    return number
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(numbers.sorted() == Array(1...200))
        #expect(revocations.list.map(\.sequence) == Array(1...200))
        #expect(try await store.revocations().map(\.sequence) == Array(1...200))
    }

    @Test func `what is not durable is in force, says so, and becomes durable by itself`() async throws {
        store.fail(with: full)
        let began = clock.now
        #expect(try await revoke(.subject("corp:alice")).isDurable == false)
        clock.advance(by: .seconds(5))
        #expect(try await revoke(.rule("main")).isDurable == false)
        #expect(state.current.revocations.highest == 2)
        #expect(revocations.waiting.count == 2 && revocations.waiting.since == began)
        await revocations.retry()
        #expect(revocations.waiting.count == 2)
        let report = await Readiness(issuers: [], revocations: revocations, storeOutage: { nil }).report()
        #expect(report.json["revocations"]?.object?["durable"] == false)
        #expect(report.json["revocations"]?.object?["waiting"] == 2)

        store.fail(with: nil)
        await revocations.retry()
        #expect(revocations.waiting.count == 0 && revocations.waiting.since == nil)
        #expect(try await store.revocations().map(\.sequence) == [1, 2])
        #expect(store.events.count == 2)
        #expect(
            log.messages == [
                "a revocation is in force and not yet durable", "a revocation is in force and not yet durable",
                "revocations have become durable",
            ])
    }

    @Test func `a number that was lost with a crash is not given out again once a session carries it`() async throws {
        store.fail(with: full)
        try await revoke()
        store.fail(with: nil)
        // A session of a subject that authenticated after it.
        try await store.record(Sample.session("s1", revision: 1), Sample.grant(session: "s1"))
        let (again, state) = try await restarted()
        #expect(state.current.revocations.highest == 1)
        #expect(try await again.revoke(RevocationRequest(.all), by: .daemon).revocation?.sequence == 2)
        #expect(state.current.revocations.kills(Sample.session("s1", revision: 1)) == .all)
    }

    @Test func `all that is durable is in force again after a start`() async throws {
        for target: Revocation.Target in [.subject("a:b"), .session("s"), .rule("r"), .key("k"), .token("t")] {
            try await revoke(target)
        }
        try await revoke(.subject("a:c"), block: .init(until: nil))
        let (again, state) = try await restarted()
        #expect(again.list == revocations.list)
        #expect(state.current.revocations.highest == 6)
        #expect(state.current.revocations.kills(Sample.session("s")) == .session("s"))
        let blocked = state.current.revocations.blocks(subject: "a:c", actor: nil, rule: "r", at: clock.now)
        #expect(blocked == .subject("a:c"))
    }

    /// For every call into the store, that one and all later ones fail.
    @Test func `whichever call into the store fails, an answer that says durable is`() async throws {
        for calls in 0..<6 {
            let store = MemoryStore()
            let state = StateHolder(BrokerState(keyRing: try Fixture.keyRing()))
            let revocations = Revocations(store, publishedIn: state, clock: clock, logger: log.logger)
            store.fail(afterCalls: calls)
            var durable: [UInt64] = []
            for _ in 0..<4 {
                let outcome = try await revocations.revoke(RevocationRequest(.all), by: .daemon)
                if outcome.isDurable { durable += outcome.revocations.map(\.sequence) }
            }
            let condition = try #require(ClaimCondition(parsing: "a=b"))
            if let outcome = try? await revocations.revoke(where: condition, by: .daemon) {
                #expect(outcome.revocations.isEmpty && calls > 4)
            }
            store.fail(afterCalls: .max)
            #expect(state.current.revocations.highest == 4)
            #expect(try await store.revocations().map(\.sequence) == durable)
            #expect(durable.count == min(calls, 4))
            await revocations.retry()
            #expect(try await store.revocations().map(\.sequence).sorted() == [1, 2, 3, 4])
        }
    }

    @Test func `no more wait to become durable than may, and those that may are in force`() async throws {
        store.fail(with: full)
        let request = try RevocationRequest(.all)
        let many = Array(repeating: request, count: Revocations.maximumWaiting)
        #expect(try await revocations.revoke(many, by: .daemon).isDurable == false)
        let refusal = await #expect(throws: RevocationRefusal.self) {
            try await revocations.revoke(request, by: .daemon)
        }
        guard case .full = refusal else { Issue.record("\(String(describing: refusal))"); return }
        #expect(state.current.revocations.highest == UInt64(Revocations.maximumWaiting))
        store.fail(with: nil)
        await revocations.retry()
        #expect(try await revocations.revoke(request, by: .daemon).isDurable)
    }

    // MARK: Conditions

    @Test func `a condition finds those that live behind any number that are revoked already`() async throws {
        let claims: JSONObject = ["email": "a@x.com"]
        let condition = try #require(ClaimCondition(parsing: "email=a@x.com"))
        let count = Revocations.maximumSessions + 1
        for index in 0...count {
            try await store.record(Sample.session("s\(index)", claims: claims), Sample.grant(session: "s\(index)"))
        }
        clock.now = Sample.time
        await #expect(throws: RevocationRefusal.self) { try await revocations.revoke(where: condition, by: .daemon) }
        #expect(state.current.revocations.highest == 0)
        let revoked = try (2...count).map { try RevocationRequest(.session(ExactString("s\($0)"))) }
        _ = try await revocations.revoke(revoked, by: .daemon)
        #expect(try await revocations.preview(where: condition).map(\.id) == ["s0", "s1"])
        let outcome = try await revocations.revoke(where: condition, by: .daemon)
        #expect(outcome.revocations.map(\.target) == [.session("s0"), .session("s1")])
    }

    @Test func `a condition revokes the sessions that it names and live, in one go`() async throws {
        let (email, other): (JSONObject, JSONObject) = (["email": "a@x.com"], ["email": "b@x.com"])
        for (id, claims) in [("s1", email), ("s2", other), ("s3", email)] {
            try await store.record(Sample.session(id, claims: claims), Sample.grant(session: id))
        }
        clock.now = Sample.time
        let condition = try #require(ClaimCondition(parsing: "email=a@x.com"))
        try await revoke(.session("s3"))
        #expect(try await revocations.preview(where: condition).map(\.id) == ["s1"])
        let outcome = try await revocations.revoke(where: condition, reason: "left", by: .daemon)
        #expect(outcome.revocations.map(\.target) == [.session("s1")])
        #expect(outcome.revocation?.reason == "left")
        #expect(try await revocations.preview(where: condition).isEmpty)
        #expect(try await revocations.revoke(where: condition, by: .daemon).revocations.isEmpty)
    }

    @Test(arguments: ["", "=", "a", "a=", "=b", "/~2=b"])
    func `what is no condition is none`(text: String) {
        #expect(ClaimCondition(parsing: text) == nil)
    }

    // MARK: Pruning

    @Test func `is pruned a day after the last token that it can match, and its number is never given out again`()
        async throws
    {
        try await revoke(.subject("a:b"))
        let expires = try #require(revocations.list.first?.expires)
        #expect(expires == clock.now.addingTimeInterval(GrantTerms.longestSession.seconds))
        try await revocations.prune(at: expires.addingTimeInterval(86_400))
        #expect(revocations.liveCount == 1)
        try await revocations.prune(at: expires.addingTimeInterval(86_401))
        #expect(revocations.liveCount == 0)
        #expect(try await store.revocations().isEmpty)
        #expect(state.current.revocations.highest == 1)
        #expect(state.current.revocations.kills(Sample.session("s", subject: "a:b")) == nil)
        let (again, _) = try await restarted()
        #expect(try await again.revoke(RevocationRequest(.all), by: .daemon).revocation?.sequence == 2)
    }

    @Test func `a block is kept to its end, and without end until it is lifted`() async throws {
        let year = 365 * 86_400.0
        let until = clock.now.addingTimeInterval(year)
        try await revoke(.subject("a:b"), block: .init(until: until))
        try await revoke(.subject("a:c"), block: .init(until: nil))
        try await revocations.prune(at: until)
        #expect(revocations.list.map(\.sequence) == [1, 2])
        try await revocations.prune(at: clock.now.addingTimeInterval(100 * year))
        #expect(revocations.list.map(\.sequence) == [2])
        try await revoke(.subject("a:c"), block: .init(until: clock.now))
        try await revocations.prune(at: clock.now.addingTimeInterval(100 * year))
        #expect(revocations.list.map(\.sequence) == [2])
        _ = try await revocations.lift(RevocationRequest(.subject("a:c")), by: .daemon)
        try await revocations.prune(at: clock.now.addingTimeInterval(100 * year))
        #expect(revocations.list.isEmpty)
    }

    @Test func `nothing is pruned while the clock is not to be believed`() async throws {
        try await revoke()
        let agreement = ClockAgreement(clock)
        var pruning = RevocationPruning(revocations, agreement: agreement, clock: clock, logger: log.logger)
        clock.now = clock.now.addingTimeInterval(365 * 86_400)
        await pruning.round()
        #expect(revocations.liveCount == 1)
    }

    @Test func `what could not be deleted stays in force`() async throws {
        try await revoke(.subject("a:b"))
        store.fail(with: full)
        await #expect(throws: StoreFailure.self) {
            try await revocations.prune(at: clock.now.addingTimeInterval(1_000_000))
        }
        #expect(revocations.liveCount == 1)
        #expect(state.current.revocations.kills(Sample.session("s", subject: "a:b")) != nil)
    }
}
