import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// What a revocation kills, and what not.
@Suite struct `A revocation` {
    private func isGood(_ token: ExchangeResponse, _ bench: ExchangeBench) -> Bool {
        (try? bench.verifier.claims(of: token.accessToken, presentedBy: nil, at: bench.clock.now)) != nil
    }

    private func revoke(_ target: Revocation.Target, _ bench: ExchangeBench, block: Revocation.Block? = nil)
        async throws
    {
        let outcome = try await bench.revocations.revoke(RevocationRequest(target, block: block), by: .daemon)
        #expect(outcome.isDurable)
    }

    /// What is revoked, of a token of alice's session, in which an agent acts through another.
    enum What: CaseIterable {
        case token, session, parent, subject, actor, innerActor, rule, issuer, actorIssuer, key, all
    }

    @Test(arguments: What.allCases)
    func `kills what it names, renewals included, and nothing that authenticates afterwards`(what: What) async throws {
        let bench = try ExchangeBench(replay: .off)
        let parent = try await bench.opened(actor: bench.actorToken("inner"))
        let token = try await bench.renewed(parent, actor: bench.actorToken("outer"))
        let bystander = try await bench.opened()
        let claims = try bench.claims(token)
        let (session, id) = (try #require(claims["sid"]?.string), try #require(claims["jti"]?.string))
        let target: Revocation.Target =
            switch what {
            case .token: .token(id)
            case .session: .session(session)
            case .parent: .session(parent.sessionID)
            case .subject: .subject("corp:alice")
            case .actor: .subject("agents:outer")
            case .innerActor: .subject("agents:inner")
            case .rule: .rule("main")
            case .issuer: .issuer(try Fixture.name("corp"))
            case .actorIssuer: .issuer(try Fixture.name("agents"))
            case .key: .key(bench.ring.active.jwk.keyID)
            case .all: .all
            }
        try await revoke(target, bench)
        #expect(!isGood(token, bench))
        #expect(try await bench.refusal(renewing: token) == "subjectToken: revoked")
        let killsAll = [What.subject, .rule, .issuer, .key, .all].contains(what)
        #expect(isGood(bystander, bench) == !killsAll)
        let killsParent = killsAll || [What.parent, .innerActor, .actorIssuer].contains(what)
        #expect(isGood(parent, bench) == !killsParent)

        guard what != .key else { return }
        let later = try await bench.opened(actor: bench.actorToken("inner"))
        #expect(isGood(later, bench))
        #expect(try bench.claims(later)["rev"] == 1)
        let renewed = try await bench.renewed(later, actor: bench.actorToken("outer"))
        #expect(try bench.claims(renewed)["rev"] == 1)
        #expect(isGood(renewed, bench))
    }

    @Test func `of one token leaves the others of its session alone`() async throws {
        let bench = try ExchangeBench()
        let first = try await bench.opened()
        let second = try await bench.renewed(first)
        try await revoke(.token(try #require(bench.claims(first)["jti"]?.string)), bench)
        #expect(!isGood(first, bench))
        #expect(isGood(second, bench))
    }

    @Test func `names nobody by another spelling, and no value of another kind`() async throws {
        let bench = try ExchangeBench()
        let token = try await bench.opened()
        for target: Revocation.Target in [
            .subject("corp:Alice"), .subject("corp:alice "), .subject("alice"), .subject("corp"), .rule("corp:alice"),
            .session("corp:alice"), .token("corp:alice"), .rule("tags"), .key("main"), .subject("main"),
            .issuer(try Fixture.name("agents")),
        ] { try await revoke(target, bench) }
        #expect(isGood(token, bench))
        #expect(try await bench.refusal(renewing: token) == nil)
    }

    @Test func `is asked at every verdict, also on a token that was good just now`() async throws {
        let bench = try ExchangeBench()
        let token = try await bench.opened()
        func verdict() throws -> Denial? {
            bench.verifier.verdict(
                for: token.accessToken, requiring: Requirement(scopes: try Fixture.scopes(["a:read"])),
                presentedBy: nil, at: bench.clock.now
            ).denial
        }
        for _ in 0..<3 { #expect(try verdict() == nil) }
        try await revoke(.subject("corp:alice"), bench)
        for _ in 0..<3 { #expect(try verdict() == .token(.revoked)) }
    }

    @Test func `is no matter of clocks`() async throws {
        let bench = try ExchangeBench()
        let token = try await bench.opened()
        bench.clock.advance(by: .seconds(-3600))
        try await revoke(.subject("corp:alice"), bench)
        bench.clock.advance(by: .seconds(3600))
        #expect(!isGood(token, bench))
        bench.clock.advance(by: .seconds(365 * 86_400))
        let later = try await bench.opened()
        #expect(isGood(later, bench))
    }

    @Test func `keeps a replayed subject token out of the session that it opened`() async throws {
        let bench = try ExchangeBench(replay: .window(maximumUses: 5))
        let (token, request) = (try bench.token(), { try bench.request($0) })
        let first = try await bench.exchange.exchange(request(token))
        try await revoke(.session(first.sessionID), bench)
        let again = try request(token)
        #expect(await bench.refusal(again)?.name == "subjectToken")
        let event = try await bench.store.auditEvents(trace: again.trace).first
        #expect(event?.kind == .exchangeRefused && event?.reason == "revoked" && event?.sessionID == first.sessionID)
    }

    /// One that comes between the checks of an exchange and its record.
    @Test(arguments: [true, false])
    func `that comes while an exchange is under way takes its session with it`(isRenewal: Bool) async throws {
        let plain = try ExchangeBench()
        let first = try await plain.opened()
        let revocations = plain.revocations
        let bench = try ExchangeBench(after: plain) { store in
            RevokingStore(store) { _ = try? await revocations.revoke(RevocationRequest(.all), by: .daemon) }
        }
        let request = try isRenewal ? bench.renewal(of: first.accessToken) : bench.request(bench.token(["jti": "t2"]))
        #expect(await bench.refusal(request)?.name == "subjectToken")
        let events = try await bench.store.auditEvents(trace: request.trace)
        #expect(events.map(\.kind) == [.exchangeRefused])
        #expect(events.first?.reason == "revoked")
        #expect(bench.store.sessions.count == 1)
    }

    // MARK: Blocks

    enum Blocked: CaseIterable { case subject, actor, rule, issuer, actorIssuer, all }

    @Test(arguments: Blocked.allCases)
    func `that blocks refuses new exchanges until its end`(what: Blocked) async throws {
        let bench = try ExchangeBench(replay: .off)
        let target: Revocation.Target =
            switch what {
            case .subject: .subject("corp:alice")
            case .actor: .subject("agents:agent")
            case .rule: .rule("main")
            case .issuer: .issuer(try Fixture.name("corp"))
            case .actorIssuer: .issuer(try Fixture.name("agents"))
            case .all: .all
            }
        let until = bench.clock.now.addingTimeInterval(60)
        try await revoke(target, bench, block: .init(until: until))
        let request = try bench.request(bench.token(), actor: bench.actorToken())
        #expect(await bench.refusal(request)?.name == "subjectToken")
        let event = try #require(try await bench.store.auditEvents(trace: request.trace).first)
        #expect(event.reason == "blocked")
        #expect(event.details["blocked"]?.object?["kind"]?.string?.string == target.kind.rawValue)
        if [.actor, .actorIssuer].contains(what) { _ = try await bench.opened() }
        bench.clock.now = until.addingTimeInterval(-0.001)
        #expect(await bench.refusal(request)?.name == "subjectToken")
        bench.clock.now = until
        #expect(await bench.refusal(request) == nil)
    }

    /// They have higher numbers than the block, and are not dead by it.
    @Test(arguments: [Blocked.actor, .actorIssuer])
    func `that blocks an actor keeps it out of sessions that began since`(what: Blocked) async throws {
        let bench = try ExchangeBench(replay: .off)
        let target: Revocation.Target =
            what == .actor ? .subject("agents:agent") : .issuer(try Fixture.name("agents"))
        try await revoke(target, bench, block: .init(until: nil))
        let session = try await bench.opened()
        #expect(try await bench.refusal(renewing: session, actor: bench.actorToken()) == "subjectToken: blocked")
        #expect(try await bench.refusal(renewing: session) == nil)
        let other = try await bench.refusal(renewing: session, actor: bench.actorToken("other"))
        #expect(other == (what == .actor ? nil : "subjectToken: blocked"))
    }

    @Test func `that blocks without end does so until it is lifted, whatever is revoked meanwhile`() async throws {
        let bench = try ExchangeBench(replay: .off)
        try await revoke(.subject("corp:alice"), bench, block: .init(until: nil))
        bench.clock.advance(by: .seconds(10 * 365 * 86_400))
        #expect(try await bench.refusal(bench.request(bench.token()))?.name == "subjectToken")
        try await revoke(.subject("corp:alice"), bench)
        #expect(try await bench.refusal(bench.request(bench.token()))?.name == "subjectToken")
        try await revoke(.subject("corp:alice"), bench, block: .init(until: bench.clock.now))
        #expect(try await bench.refusal(bench.request(bench.token()))?.name == "subjectToken")
        _ = try await bench.revocations.lift(RevocationRequest(.subject("corp:alice")), by: .daemon)
        _ = try await bench.opened()
    }

    @Test(arguments: [Revocation.Target.token("t"), .session("s"), .key("k")])
    func `blocks nobody by what is nobody`(target: Revocation.Target) {
        #expect(throws: RevocationRequest.Unacceptable.block(target.kind)) {
            try RevocationRequest(target, block: .init(until: nil))
        }
    }

    @Test func `has a reason of 512 bytes without control characters at most`() throws {
        _ = try RevocationRequest(.all, reason: String(repeating: "r", count: 512))
        for reason in [String(repeating: "r", count: 513), String(repeating: "é", count: 257), "a\nb", "\u{1b}[2J"] {
            #expect(throws: RevocationRequest.Unacceptable.reason) { try RevocationRequest(.all, reason: reason) }
        }
    }
}

/// A store that does something just before it records what grants.
private struct RevokingStore: ExchangeStore {
    let store: MemoryStore
    let before: @Sendable () async -> Void

    init(_ store: MemoryStore, before: @escaping @Sendable () async -> Void) {
        self.store = store
        self.before = before
    }

    func record(_ session: SessionRecord, _ event: AuditEvent) async throws(StoreFailure) -> UseOutcome {
        await before()
        return try await store.record(session, event)
    }

    func record(
        _ session: SessionRecord, _ event: AuditEvent, using use: SubjectTokenUse
    ) async throws(StoreFailure) -> UseOutcome {
        await before()
        return try await store.record(session, event, using: use)
    }

    func record(_ event: AuditEvent, renewing session: SessionRecord) async throws(StoreFailure) -> UseOutcome {
        await before()
        return try await store.record(event, renewing: session)
    }

    func record(_ event: AuditEvent) async throws(StoreFailure) { try await store.record(event) }

    func session(_ id: ExactString) async throws(StoreFailure) -> SessionRecord? { try await store.session(id) }
    func isSignIn(_ id: ExactString) async throws(StoreFailure) -> Bool { try await store.isSignIn(id) }
}
