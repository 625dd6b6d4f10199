import BrokerTesting
import JOSE
import Testing

@testable import Broker

@Suite struct `What a device may get at most` {
    private static func rules(_ rules: [Rule]) throws -> RuleSet {
        let issuers = [
            try Fixture.configuration(try ExchangeBench().issuer),
            try Fixture.configuration(Fixture.agents, name: "agents"),
        ]
        return try RuleSet(rules, issuers: issuers, broker: Fixture.broker)
    }

    private static func rule(_ name: String, issuer: String = "corp", _ terms: GrantTerms) throws -> Rule {
        try Fixture.rule(name, issuer: issuer, texts: [("sub", [name])], terms: terms)
    }

    private static var corp: IssuerName { IssuerName(parsing: "corp")! }

    @Test func `is what all rules of the issuer grant together, each thing once`() throws {
        let some = try ExchangeBench.terms(scope: ["a", "b"], maximumSession: .seconds(1800), models: ["m1", "m2"])
        let more = try ExchangeBench.terms(scope: ["b", "c"], maximumSession: .seconds(7200), models: ["m2", "m3"])
        let foreign = try ExchangeBench.terms(scope: ["z"], maximumSession: .seconds(9000))
        let rules = try Self.rules([
            Self.rule("one", some), Self.rule("two", more), Self.rule("three", issuer: "agents", foreign),
        ])
        let largest = try #require(rules.largestDeviceGrant(of: Self.corp))
        #expect(largest.scope.map(\.text) == ["a", "b", "c"])
        #expect(largest.models == ["m1", "m2", "m3"])
        #expect(largest.maximumSession == .seconds(7200))
    }

    @Test func `has no models where one rule does not speak of them`() throws {
        let rules = try Self.rules([
            Self.rule("one", ExchangeBench.terms(models: ["m1"])), Self.rule("two", ExchangeBench.terms()),
        ])
        #expect(rules.largestDeviceGrant(of: Self.corp)?.models == nil)
    }

    @Test func `leaves out what a device never gets: what is bound to a certificate`() throws {
        let scope = try #require(Scope(parsing: "a"))
        let bound = try #require(
            GrantTerms(
                scope: [scope], timeToLive: .seconds(900), audiences: ExchangeBench.audiences, bindsCertificate: true))
        let rules = try Self.rules([Self.rule("one", bound)])
        #expect(rules.largestDeviceGrant(of: Self.corp) == nil)
    }
}
