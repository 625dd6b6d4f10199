import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// What a refresh changes, how long keys last without one, and when the next one is due.
@Suite struct IssuerKeysRefreshTests {
    private let clock = ManualClock()

    private func set(_ keyIDs: ExactString...) throws -> JWKSet {
        let quick = try Fixture.quick
        return try JWKSet(parsing: TestIssuer.jwks(of: keyIDs.map { quick.presenting(keyID: $0) }))
    }

    private func refreshed(_ fetcher: StubKeySetFetcher) async throws -> IssuerKeys {
        let keys = IssuerKeys(name: try Fixture.name(), fetcher: fetcher, clock: clock)
        await keys.refresh()
        return keys
    }

    @Test func `a refresh replaces everything`() async throws {
        let fetcher = StubKeySetFetcher(try set("a", "b"))
        let keys = try await refreshed(fetcher)
        fetcher.answer(try set("b", "c"))
        await keys.refresh()
        #expect(await keys.key("a").isUnknown)
        #expect(await keys.key("b").isFound)
        #expect(await keys.key("c").isFound)
    }

    @Test func `a set that comes back empty revokes all keys at once`() async throws {
        let fetcher = StubKeySetFetcher(try set("a"))
        let keys = try await refreshed(fetcher)
        fetcher.answer(try set())
        await keys.refresh()
        #expect(await keys.key("a").isUnknown)
        #expect(!keys.status.isUsable)
        #expect(keys.status.keyCount == 0)
        #expect(keys.status.lastError == nil)
        fetcher.fail()
        await keys.refresh()
        #expect(await keys.key("a").isUnknown, "the keys from before do not come back")
    }

    @Test func `a fetch that fails replaces nothing and is reported`() async throws {
        let fetcher = StubKeySetFetcher(try set("a"))
        let keys = try await refreshed(fetcher)
        fetcher.fail("status 500")
        clock.advance(by: .seconds(3600))
        await keys.refresh()
        #expect(await keys.key("a").isFound)
        #expect(keys.status.isUsable)
        #expect(keys.status.lastError == "status 500")
        #expect(keys.status.age == .seconds(3600))
        fetcher.answer(try set("a"))
        await keys.refresh()
        #expect(keys.status.lastError == nil)
        #expect(keys.status.age == .zero)
    }

    @Test func `the last good set serves for its life and a day more, then none does`() async throws {
        let fetcher = StubKeySetFetcher(try set("a"), maximumAge: .seconds(600))
        let keys = try await refreshed(fetcher)
        fetcher.fail("gone")
        clock.advance(by: .seconds(600 + 24 * 3600))
        #expect(await keys.key("a").isFound)
        clock.advance(by: .seconds(1))
        #expect(await keys.key("a").isUnavailable)
        #expect(!keys.status.isUsable)
        fetcher.answer(try set("a"))
        clock.advance(by: .seconds(30))
        #expect(await keys.key("a").isFound, "and it recovers by itself")
    }

    @Test(
        arguments: [
            (nil, 900.0), (.seconds(600), 600), (.seconds(1), 60), (.zero, 60), (.seconds(-5), 60),
            (.seconds(100_000_000), 3600),
        ] as [(Duration?, Double)])
    func `the next refresh is due at 80 % of the set's life, give or take a tenth of it`(
        maximumAge: Duration?, life: Double
    ) async throws {
        let keys = try await refreshed(StubKeySetFetcher(try set("a"), maximumAge: maximumAge))
        func due(_ jitter: Double) throws -> Double {
            (try #require(keys.untilNextRefresh(jitter: jitter)).seconds * 1000).rounded() / 1000
        }
        #expect(try due(0) == life * 0.8)
        #expect(try due(-1) == (life * 0.7 * 1000).rounded() / 1000)
        #expect(try due(1) == (life * 0.9 * 1000).rounded() / 1000)
        clock.advance(by: .seconds(10))
        #expect(try due(0) == life * 0.8 - 10)
        clock.advance(by: .seconds(1_000_000))
        #expect(try due(0) == 0)
    }

    @Test func `the first refresh is due at once, and one after a failure in 30 seconds`() async throws {
        let fetcher = StubKeySetFetcher(try set("a"))
        let keys = IssuerKeys(name: try Fixture.name(), fetcher: fetcher, clock: clock)
        #expect(keys.untilNextRefresh(jitter: 0) == .zero)
        await keys.refresh()
        fetcher.fail()
        await keys.refresh()
        #expect(keys.untilNextRefresh(jitter: 1) == .seconds(30))
        clock.advance(by: .seconds(12))
        #expect(keys.untilNextRefresh(jitter: -1) == .seconds(18))
    }

    @Test func `a refresh during another one waits for it and fetches nothing`() async throws {
        let fetcher = StubKeySetFetcher(try set("a"))
        fetcher.hold()
        let keys = IssuerKeys(name: try Fixture.name(), fetcher: fetcher, clock: clock)
        let first = Task { await keys.refresh() }
        await fetcher.untilCalled()
        // Runs up to its own suspension before this task goes on: it finds the first one under way.
        let second = Task.immediate { await keys.refresh() }
        fetcher.release()
        _ = await (first.value, second.value)
        #expect(fetcher.calls == 1)
        #expect(await keys.key("a").isFound)
    }

    @Test func `a wall clock that is set does not age the keys`() async throws {
        let fetcher = StubKeySetFetcher(try set("a"))
        let keys = try await refreshed(fetcher)
        clock.now.addTimeInterval(365 * 86400)
        #expect(keys.status.age == .zero)
        #expect(await keys.key("a").isFound)
    }

    @Test func `a token is refused as soon as its key is gone, and told apart from one that nobody can check`()
        async throws
    {
        let issuer = try Fixture.issuer
        let fetcher = StubKeySetFetcher(try issuer.keySet)
        let keys = try await refreshed(fetcher)
        let authenticator = JWTAuthenticator([
            TrustedIssuer(configuration: try Fixture.configuration(issuer), keys: keys)
        ])
        let token = try issuer.token(issuer.claims(at: Fixture.now))
        #expect(await refusal(of: token, by: authenticator) == nil)
        fetcher.answer(try Fixture.otherIssuer.keySet)
        await keys.refresh()
        #expect(await refusal(of: token, by: authenticator) == .unknownKey)
        fetcher.fail("no route")
        clock.advance(by: .seconds(48 * 3600))
        #expect(await refusal(of: token, by: authenticator) == .keysUnavailable("no route"))
    }
}
