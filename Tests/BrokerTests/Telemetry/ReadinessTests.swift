import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// What is not ready, and since when.
@Suite struct ReadinessTests {
    private let clock = ManualClock()

    private func issuer(_ name: String, _ fetcher: StubKeySetFetcher) throws -> TrustedIssuer {
        let configuration = try Fixture.configuration(Fixture.quick, name: name)
        return TrustedIssuer(
            configuration: configuration, keys: IssuerKeys(name: configuration.name, fetcher: fetcher, clock: clock))
    }

    private var keys: JWKSet { get throws { try JWKSet(parsing: Fixture.quick.jwks) } }
    private var none: JWKSet { get throws { try JWKSet(parsing: TestIssuer.jwks(of: [])) } }

    private func report(_ issuers: [TrustedIssuer], outage: Outage? = nil) async -> Readiness.Report {
        await Readiness(issuers: issuers, storeOutage: { outage }).report()
    }

    @Test func `before the first fetch an issuer is not ready since the start`() async throws {
        let issuer = try issuer("corp", StubKeySetFetcher())
        clock.advance(by: .seconds(60))
        let report = await report([issuer])
        #expect(!report.isReady)
        #expect(report.json["since"] == "2027-01-15T08:00:00Z")
        #expect(report.json["issuers"]?.object?["corp"]?.object?["since"] == "2027-01-15T08:00:00Z")
    }

    @Test func `fetches that fail are reported with their beginning while the keys still serve`() async throws {
        let fetcher = StubKeySetFetcher(try keys)
        let issuer = try issuer("corp", fetcher)
        await issuer.keys.refresh()
        clock.advance(by: .seconds(60))
        fetcher.fail("no route")
        await issuer.keys.refresh()
        clock.advance(by: .seconds(60))
        await issuer.keys.refresh()
        let report = await report([issuer])
        #expect(report.isReady)
        let state = report.json["issuers"]?.object?["corp"]?.object
        #expect(state?["ready"] == true && state?["since"] == nil)
        #expect(state?["failing_since"] == "2027-01-15T08:01:00Z")
        #expect(state?["last_error"] == "no route")
        #expect(state?["age_seconds"] == 120)
        #expect(issuer.keys.status.fetchCount == 3 && issuer.keys.status.failureCount == 2)
    }

    @Test func `keys that are too old are not ready since they became so`() async throws {
        let fetcher = StubKeySetFetcher(try keys, maximumAge: .seconds(3600))
        let issuer = try issuer("corp", fetcher)
        await issuer.keys.refresh()
        fetcher.fail()
        clock.advance(by: .seconds(25 * 3600))
        #expect(await report([issuer]).isReady)
        clock.advance(by: .seconds(1800))
        let report = await report([issuer])
        #expect(!report.isReady)
        #expect(report.json["since"] == "2027-01-16T09:00:00Z")
        fetcher.answer(try keys)
        await issuer.keys.refresh()
        #expect(await self.report([issuer]).json["since"] == nil)
    }

    @Test func `an issuer that withdrew its keys is not ready since the fetch that showed it`() async throws {
        let fetcher = StubKeySetFetcher(try keys)
        let issuer = try issuer("corp", fetcher)
        await issuer.keys.refresh()
        fetcher.answer(try none)
        clock.advance(by: .seconds(60))
        await issuer.keys.refresh()
        clock.advance(by: .seconds(60))
        await issuer.keys.refresh()
        #expect(await report([issuer]).json["since"] == "2027-01-15T08:01:00Z")
    }

    @Test func `one issuer of two is enough, and the last to fail says since when it is not`() async throws {
        let (first, second) = (StubKeySetFetcher(try keys), StubKeySetFetcher(try keys))
        let issuers = [try issuer("corp", first), try issuer("github", second)]
        for issuer in issuers { await issuer.keys.refresh() }
        first.answer(try none)
        clock.advance(by: .seconds(60))
        await issuers[0].keys.refresh()
        #expect(await report(issuers).isReady)
        second.answer(try none)
        clock.advance(by: .seconds(60))
        await issuers[1].keys.refresh()
        let report = await report(issuers)
        #expect(!report.isReady)
        #expect(report.json["since"] == "2027-01-15T08:02:00Z")
    }

    @Test func `the first of two causes says since when nothing works`() async throws {
        let issuer = try issuer("corp", StubKeySetFetcher())
        let outage = Outage(since: clock.now.addingTimeInterval(-3600), cause: "full")
        let report = await report([issuer], outage: outage)
        #expect(report.json["since"] == "2027-01-15T07:00:00Z")
        #expect(report.json["store"]?.object?["error"] == "full")
    }

    @Test func `a wall clock that is set back moves none of the moments`() async throws {
        let fetcher = StubKeySetFetcher(try none)
        let issuer = try issuer("corp", fetcher)
        await issuer.keys.refresh()
        clock.now = clock.now.addingTimeInterval(-3600)
        #expect(await report([issuer]).json["since"] == "2027-01-15T08:00:00Z")
        #expect(issuer.keys.status.age == .zero)
    }

    @Test func `the metrics say of each issuer what readiness says`() async throws {
        let fetcher = StubKeySetFetcher(try keys)
        let issuer = try issuer("corp", fetcher)
        await issuer.keys.refresh()
        fetcher.fail()
        clock.advance(by: .seconds(60))
        await issuer.keys.refresh()
        let lines = IssuerKeysMetrics([issuer.keys]).lines
        for line in [
            #"daypass_issuer_keys_usable{issuer="corp"} 1"#, #"daypass_issuer_keys{issuer="corp"} 1"#,
            #"daypass_issuer_keys_age_seconds{issuer="corp"} 60"#,
            #"daypass_issuer_keys_last_fetch_success{issuer="corp"} 0"#,
            #"daypass_issuer_keys_last_fetch_timestamp_seconds{issuer="corp"} 1800000060"#,
            #"daypass_issuer_keys_fetches_total{issuer="corp"} 2"#,
            #"daypass_issuer_keys_fetch_failures_total{issuer="corp"} 1"#,
        ] {
            #expect(lines.contains(line), "\(line)")
        }
    }
}
