import Broker
import BrokerTesting
import Foundation
import JOSE
import SPIFFE
import Testing

@Suite struct `The bundles of the configured trust domains` {
    private let domain: TestTrustDomain
    private let clock = ManualClock()
    private let bundles: TrustBundles

    init() throws {
        domain = try TestTrustDomain()
        bundles = TrustBundles([try domain.configuration()], clock: clock)
    }

    private var status: TrustBundles.Status { bundles.statuses[0] }

    @Test func `never gain one of a domain that is not configured`() throws {
        let stranger = try TestTrustDomain("stranger.example.com")
        #expect(!bundles.replace(with: try stranger.bundle))
        #expect(bundles.current[stranger.name] == nil && bundles.statuses.count == 1)
    }

    @Test func `count as changed only where they trust something else`() throws {
        #expect(!bundles.replace(with: try domain.bundle))
        #expect(status.changeCount == 0)
        #expect(bundles.replace(with: try domain.bundle(authorities: [domain.ca], signers: [])))
        #expect(status.changeCount == 1 && status.keyCount == 0 && status.authorityCount == 1)
    }

    @Test func `are unusable since they became empty, whatever is read after that`() async throws {
        clock.advance(by: .seconds(60))
        let empty = try domain.bundle(authorities: [], signers: [])
        bundles.replace(with: empty)
        clock.advance(by: .seconds(60))
        bundles.replace(with: empty)
        bundles.failed(domain.name, "damaged")
        #expect(status.unusableSince == ManualClock().now.addingTimeInterval(60))
        let report = await Readiness(issuers: [], trustBundles: bundles, storeOutage: { nil }).report()
        #expect(!report.isReady && report.json["since"] == "2027-01-15T08:01:00Z")
        #expect(
            report.json["trust_domains"]?.object?["prod.example.com"]?.object == [
                "ready": false, "since": "2027-01-15T08:01:00Z", "authorities": 0, "keys": 0, "source": "file",
                "last_error": "damaged", "failing_since": "2027-01-15T08:02:00Z",
            ])
    }

    @Test func `make a broker ready that has no other issuer`() async {
        let report = await Readiness(issuers: [], trustBundles: bundles, storeOutage: { nil }).report()
        #expect(report.isReady)
        #expect(report.json["trust_domains"]?.object?["prod.example.com"]?.object?["authorities"] == 1)
    }

    @Test func `have a series each in a scrape`() {
        bundles.failed(domain.name, "damaged")
        var text = MetricText()
        TrustBundleMetrics(bundles).write(to: &text)
        let lines = String(decoding: text.bytes, as: UTF8.self).split(separator: "\n").filter { !$0.hasPrefix("#") }
        #expect(
            lines == [
                #"daypass_trust_bundle_usable{trust_domain="prod.example.com"} 1"#,
                #"daypass_trust_bundle_authorities{trust_domain="prod.example.com"} 1"#,
                #"daypass_trust_bundle_keys{trust_domain="prod.example.com"} 1"#,
                #"daypass_trust_bundle_last_read_success{trust_domain="prod.example.com"} 0"#,
                #"daypass_trust_bundle_source{trust_domain="prod.example.com",source="file"} 1"#,
                #"daypass_trust_bundle_changes_total{trust_domain="prod.example.com"} 0"#,
                #"daypass_trust_bundle_failures_total{trust_domain="prod.example.com"} 1"#,
            ])
    }
}
