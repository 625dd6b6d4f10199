import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// Until when gateways that ask nobody may accept what was revoked.
@Suite struct `The last token that is out` {
    private let store = MemoryStore()
    private let clock = ManualClock()
    private let minted = LatestExpiry()

    private func mint(ttl: Int) async throws {
        let ring = try Fixture.keyRing()
        let mint = TokenMint(
            issuer: Fixture.broker, state: { BrokerState(keyRing: ring) }, random: SystemRandom(), latestExpiry: minted)
        let subject = try await Fixture.subject()
        let terms = try Fixture.terms(timeToLive: .seconds(ttl))
        let rules = try Fixture.rules(Fixture.rule("r", texts: [("sub", ["**"])], terms: terms))
        let grant = try #require(rules.match(subject, naming: nil).grant)
        let session = try mint.session(for: subject, since: 0, grant, actor: nil, keeping: [:], at: clock.now)
        _ = try mint.token(of: session, grant, at: clock.now)
    }

    private func record(expiringIn seconds: Double) async throws {
        try await store.record(
            AuditEvent(
                time: clock.now, trace: TraceID(), kind: .exchangeGranted, issuer: nil, subject: nil, tokenID: "t",
                details: ["expires": .number(clock.now.addingTimeInterval(seconds).timeIntervalSince1970)]))
    }

    @Test func `is nothing where nothing was minted`() async throws {
        #expect(await OutstandingTokens(minted, store, clock: clock).latestExpiry() == nil)
    }

    @Test func `is the one with the longest life of those that were minted here, until it has expired`() async throws {
        let outstanding = OutstandingTokens(minted, store, clock: clock)
        try await mint(ttl: 900)
        try await mint(ttl: 60)
        let expected = Date(timeIntervalSince1970: clock.now.timeIntervalSince1970.rounded(.down) + 900)
        #expect(await outstanding.latestExpiry() == expected)
        clock.advance(by: .seconds(901))
        #expect(await outstanding.latestExpiry() == nil)
    }

    @Test func `may be one from before the start`() async throws {
        try await record(expiringIn: 3600)
        let expected = clock.now.addingTimeInterval(3600)
        clock.advance(by: .seconds(60))
        let outstanding = OutstandingTokens(minted, store, clock: clock)
        try await mint(ttl: 900)
        #expect(await outstanding.latestExpiry() == expected)
        // What was granted since is known by itself.
        try await record(expiringIn: 7200)
        #expect(await outstanding.latestExpiry() == expected)
    }

    @Test func `may be one that was granted after the backup that the store was restored from`() async throws {
        try await record(expiringIn: 60)
        let restored = clock.now
        let expected = restored.addingTimeInterval(GrantTerms.longestSession.seconds)
        clock.advance(by: .seconds(600))
        let outstanding = OutstandingTokens(minted, store, restored: restored, clock: clock)
        try await mint(ttl: 900)
        #expect(await outstanding.latestExpiry() == expected)
        clock.advance(by: GrantTerms.longestSession)
        #expect(await outstanding.latestExpiry() == nil)
    }

    @Test func `is taken to have the longest life that there is where the store does not say`() async throws {
        let outstanding = OutstandingTokens(minted, store, clock: clock)
        let longest = clock.now.addingTimeInterval(GrantTerms.longestSession.seconds)
        store.fail(with: StoreFailure(.unavailable, "read", cause: "a test"))
        #expect(await outstanding.latestExpiry() == longest)
        store.fail(with: nil)
        #expect(await outstanding.latestExpiry() == nil)
        store.fail(with: StoreFailure(.unavailable, "read", cause: "a test"))
        clock.advance(by: GrantTerms.longestSession)
        #expect(await OutstandingTokens(minted, store, clock: clock).latestExpiry() != nil)
        #expect(await outstanding.latestExpiry() == nil)
    }

    @Test func `does not matter to who follows: they are counted by what they were told`() async throws {
        let state = StateHolder(BrokerState(keyRing: try Fixture.keyRing()))
        let revocations = Revocations(store, publishedIn: state, clock: clock, logger: LogRecorder().logger)
        let first = revocations.follower()
        do {
            let second = revocations.follower()
            first.reached(7)
            second.reached(6)
            #expect(revocations.followers(reached: 6) == (2, 0))
            #expect(revocations.followers(reached: 7) == (2, 1))
        }
        #expect(revocations.followers(reached: 7) == (1, 0))
        withExtendedLifetime(first) {}
        #expect(revocations.followers(reached: 8) == (1, 1))
    }
}
