import Broker
import BrokerTesting
import Foundation
import JOSE
import SPIFFE
import Testing

@Suite struct `The difference of two configurations` {
    private func configuration(
        rules: [Rule], issuers: [IssuerConfiguration]? = nil, trustDomains: [TrustDomainConfiguration] = [],
        audiences: [ExactString] = [Fixture.gateway], retention: Duration = .seconds(400 * 86_400)
    ) throws -> BrokerConfiguration {
        let issuers = try issuers ?? [Fixture.configuration(Fixture.quick)]
        let address = ListenAddress(host: "127.0.0.1", port: 0)
        return BrokerConfiguration(
            server: ServerConfiguration(
                publicListener: address, publicURL: Fixture.broker.string, telemetryListener: address),
            tokens: TokenConfiguration(issuer: Fixture.broker, audiences: audiences), verify: VerifyConfiguration(),
            store: .sqlite(path: "/x"), audit: AuditConfiguration(retention: retention), masterKeyFile: "/k",
            issuers: issuers, trustDomains: trustDomains,
            rules: try RuleSet(
                rules, issuers: issuers, trustDomains: trustDomains.map(\.name), broker: Fixture.broker))
    }

    private func rule(_ name: String, _ subject: String = "alice") throws -> Rule {
        try Fixture.rule(name, texts: [("sub", [subject])])
    }

    @Test func `is empty where nothing differs`() throws {
        let difference = ConfigurationDifference(
            from: try configuration(rules: [rule("a"), rule("b")]),
            to: try configuration(rules: [rule("a"), rule("b")]))
        #expect(difference.isEmpty && difference.needsRestart.isEmpty && difference.revocations.isEmpty)
    }

    @Test func `names what came, went and changed, and what takes back what was granted`() throws {
        let difference = ConfigurationDifference(
            from: try configuration(rules: [rule("a"), rule("b"), rule("c")]),
            to: try configuration(rules: [rule("c"), rule("d"), rule("b", "bob")]))
        #expect(difference.rules.added == ["d"])
        #expect(difference.rules.removed == ["a"])
        #expect(difference.rules.changed == ["b"])
        #expect(difference.areRulesReordered)
        #expect(difference.revocations == ["daypass revoke rule a", "daypass revoke rule b"])
        #expect(difference.issuers.isEmpty && difference.trustDomains.isEmpty)
    }

    @Test func `sees another order alone, and none where only something came in between`() throws {
        let (a, b, c) = (try rule("a"), try rule("b"), try rule("c"))
        let first = try configuration(rules: [a, b])
        let swapped = ConfigurationDifference(from: first, to: try configuration(rules: [b, a]))
        #expect(swapped.areRulesReordered && !swapped.isEmpty && swapped.rules.isEmpty)
        let grown = ConfigurationDifference(from: first, to: try configuration(rules: [a, c, b]))
        #expect(!grown.areRulesReordered && grown.rules.added == ["c"])
    }

    static let issuerChanges: [@Sendable (inout IssuerConfiguration) -> Void] = [
        { $0.issuer = "https://elsewhere.example.com" }, { $0.audience = "x" }, { $0.keys = .url("https://k.example") },
        { $0.algorithms = [.RS256, .ES256] }, { $0.maximumLifetime = .seconds(1) }, { $0.requiredClaims = ["sub"] },
        { $0.allowsPrivateAddresses = true }, { $0.replay = .once },
    ]

    @Test(arguments: issuerChanges.indices)
    func `sees every change of an issuer`(index: Int) throws {
        let before = try Fixture.configuration(Fixture.quick)
        var after = before
        Self.issuerChanges[index](&after)
        let difference = ConfigurationDifference(
            from: try configuration(rules: [rule("a")], issuers: [before]),
            to: try configuration(rules: [rule("a")], issuers: [after]))
        #expect(difference.issuers.changed == ["corp"])
        #expect(difference.revocations == ["daypass revoke issuer corp"])
        // Keys that came from elsewhere are not this one's.
        #expect(before.hasSameKeys(as: after) == [1, 3, 4, 5, 7].contains(index))
    }

    @Test func `sees keys in a file that are others under the same name`() throws {
        var (one, other) = (try Fixture.configuration(Fixture.quick), try Fixture.configuration(Fixture.quick))
        one.keys = .inline(try Fixture.quick.keySet, path: "/keys.json")
        other.keys = .inline(try TestIssuer(algorithm: .EdDSA).keySet, path: "/keys.json")
        #expect(one != other && !one.hasSameKeys(as: other))
        #expect(one == one)
    }

    @Test func `names the sections that only a restart puts into force`() throws {
        let difference = ConfigurationDifference(
            from: try configuration(rules: [rule("a")]),
            to: try configuration(
                rules: [rule("a")], audiences: [Fixture.gateway, "https://x"], retention: .seconds(86_400)))
        #expect(difference.isEmpty)
        #expect(difference.needsRestart == ["tokens", "audit"])
    }

    @Test func `sees another bundle's source, and not what a file holds`() throws {
        let name = try TrustDomain(parsing: "prod.example.com")
        let bundle = try TestTrustDomain("prod.example.com").configuration()
        var moved = bundle
        moved.bundle = .endpoint(BundleEndpoint(url: "https://x.example/", profile: .web))
        let before = try configuration(rules: [rule("a")], trustDomains: [bundle])
        let difference = ConfigurationDifference(
            from: before, to: try configuration(rules: [rule("a")], trustDomains: [moved]))
        #expect(difference.trustDomains.changed == [name.name])
        #expect(difference.revocations == ["daypass revoke issuer spiffe://prod.example.com"])
        let gone = ConfigurationDifference(from: before, to: try configuration(rules: [rule("a")]))
        #expect(gone.trustDomains.removed == [name.name])
    }
}
