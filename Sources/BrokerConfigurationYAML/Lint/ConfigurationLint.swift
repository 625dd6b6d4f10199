// What is accepted and yet most likely not meant. Each part looks at one kind of slip and says where it stands and what to
// write instead; none of them changes what a rule does.
internal import Broker
internal import JOSE

/// The check of a sound configuration for rules that are weaker, or do less, than they look.
struct ConfigurationLint {
    /// Claude Code keeps what its helper prints for 5 minutes.
    static let shortestHelperToken: Duration = .seconds(6 * 60)
    /// Anthropic's SDKs refresh by themselves, 2 minutes before a token expires.
    static let shortestFederatedToken: Duration = .seconds(3 * 60)

    private let rules: [RuleEntry]
    private let issuers: IssuerSection
    private let trustDomains: TrustDomainSection
    private let shared: SharedIssuers

    init(rules: [RuleEntry], issuers: IssuerSection, trustDomains: TrustDomainSection, shared: SharedIssuers) {
        self.rules = rules
        self.issuers = issuers
        self.trustDomains = trustDomains
        self.shared = shared
    }

    /// In no particular order.
    func notes() -> [ConfigurationNote] {
        let configurations = Dictionary(issuers.configurations.map { ($0.name, $0) }) { first, _ in first }
        var known: [IssuerName: KnownIssuer] = [:]
        for issuer in issuers.configurations { known[issuer.name] = KnownIssuer.of(issuer.issuer) }
        var notes = unusedIssuers() + unusedTrustDomains() + Shadowing.notes(rules)
        for rule in rules {
            if let domain = rule.rule.issuer.trustDomain {
                notes += shortLife(rule) + OpenPatterns.notes(rule, of: domain)
            }
            guard let issuer = configurations[rule.rule.issuer] else { continue }
            let known = known[issuer.name] ?? KnownIssuer(provider: nil)
            notes += audienceOnly(rule) + shortLife(rule) + OpenPatterns.notes(rule) + openExplanation(rule, issuer)
            notes += UnstableClaims.notes(rule, known) + NeverMatching.notes(rule, issuer, known)
        }
        return notes
    }

    /// Shared issuers are exempt: their entries come with the configuration, for rules to come.
    private func unusedIssuers() -> [ConfigurationNote] {
        let used = Set(rules.map(\.rule.issuer))
        return issuers.configurations.compactMap { issuer in
            guard !used.contains(issuer.name), shared.requirement(of: issuer.issuer) == nil,
                let place = issuers.names[issuer.name]
            else { return nil }
            return ConfigurationNote(
                place: place, text: "no rule is for the issuer \(issuer.name): write one, or take the issuer out")
        }
    }

    private func unusedTrustDomains() -> [ConfigurationNote] {
        let used = Set(rules.compactMap(\.rule.issuer.trustDomain))
        return trustDomains.configurations.compactMap { domain in
            guard !used.contains(domain.name), let place = trustDomains.names[domain.name] else { return nil }
            return ConfigurationNote(
                place: place,
                text: "no rule is for the trust domain \(domain.name): write one, or take the trust domain out")
        }
    }

    private static let saysNothingAboutWho: Set<ExactString> = ["aud", "iss", "exp", "iat", "nbf"]

    private func audienceOnly(_ entry: RuleEntry) -> [ConfigurationNote] {
        let claims = entry.rule.matchers.map(\.claim.topLevelName)
        guard claims.allSatisfy(Self.saysNothingAboutWho.contains) else { return [] }
        let names = claims.map(\.string).joined(separator: ", ")
        let text =
            "rule \(entry.rule.name) tests only \(names), which does not tell one subject of \(entry.rule.issuer) from "
            + "another: match a claim that says who it is, such as sub"
        return [ConfigurationNote(place: entry.matchPlace, text: text)]
    }

    /// Whoever has any token of the issuer is told.
    private func openExplanation(_ entry: RuleEntry, _ issuer: IssuerConfiguration) -> [ConfigurationNote] {
        guard entry.rule.terms.explainsToCaller, shared.requirement(of: issuer.issuer) != nil else { return [] }
        let text =
            "rule \(entry.rule.name) says explain_to_caller, and \(issuer.name) issues tokens to everybody: everybody can "
            + "learn which claims it tests; leave it out"
        return [ConfigurationNote(place: entry.matchPlace, text: text)]
    }

    private func shortLife(_ entry: RuleEntry) -> [ConfigurationNote] {
        guard let place = entry.timeToLivePlace, !entry.rule.terms.scope.allSatisfy(\.isReserved) else { return [] }
        let life = entry.rule.terms.timeToLive
        guard entry.rule.federation.isEmpty else {
            guard life < Self.shortestFederatedToken else { return [] }
            let text =
                "SDKs ask for another token 2 minutes before one expires, so a token of \(life.written) is asked for all "
                + "the time: write at least \(Self.shortestFederatedToken.written)"
            return [ConfigurationNote(place: place, text: text)]
        }
        guard life < Self.shortestHelperToken else { return [] }
        let text =
            "clients keep what a helper prints for 5 minutes, so a token of \(life.written) expires in their hands: "
            + "write at least \(Self.shortestHelperToken.written)"
        return [ConfigurationNote(place: place, text: text)]
    }
}
