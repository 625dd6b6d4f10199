internal import Broker
internal import JOSE

/// One rule, and where its parts stand.
struct RuleEntry {
    let rule: Rule
    /// Of its name.
    let place: Place
    let matchPlace: Place
    let matchers: [MatchSection.Matcher]
    /// Nil where the rule leaves it to the default.
    let timeToLivePlace: Place?
    /// Nil where the rule leaves it to the default.
    let bindPlace: Place?

    init?(
        _ node: YAMLNode, issuers: IssuerSection, trustDomains: TrustDomainSection, shared: SharedIssuers,
        tokens: TokenConfiguration?, problems: Problems
    ) {
        let fields = Fields(
            node, "a rule", known: ["name", "issuer", "trust_domain", "match", "federation", "grant"],
            problems: problems)
        guard let fields else { return nil }
        let name = fields.required("name").flatMap { Self.name($0, problems) }
        let source = Self.source(fields, issuers, trustDomains)
        let isForTrustDomain = fields["trust_domain"] != nil
        let matchers = fields.required("match").flatMap {
            MatchSection.matchers($0, readsSPIFFEID: isForTrustDomain, problems: problems)
        }
        let terms = fields.required("grant").flatMap {
            GrantSection.terms($0, tokens: tokens, problems: problems)
        }
        let federation =
            fields["federation"].map { FederationSection.ids($0, problems: problems) } ?? FederationIDs()
        if let domain = source?.trustDomain, let matchers,
            !SPIFFEIDPatterns.check(matchers, of: domain, problems)
        {
            return nil
        }
        guard let name, let source, let matchers, let federation, let terms else { return nil }
        // An issuer with errors has been reported where it stands.
        if source.trustDomain == nil {
            guard let configuration = issuers.configurations.first(where: { $0.name == source }),
                Self.areTexts(matchers, of: configuration, shared, problems)
            else { return nil }
        } else {
            guard trustDomains.configurations.contains(where: { $0.name == source.trustDomain }) else { return nil }
        }
        let rule = Rule(
            name: name, issuer: source, matchers: matchers.map(\.matcher), federation: federation, terms: terms)
        guard let rule else { return nil }
        self.rule = rule
        place = fields["name"]?.place ?? node.place
        matchPlace = fields["match"]?.place ?? node.place
        self.matchers = matchers
        timeToLivePlace = fields["grant"]?.value(of: "ttl")?.place
        bindPlace = fields["grant"]?.value(of: "bind")?.place
    }

    /// Whose subjects the rule is for.
    private static func source(
        _ fields: Fields, _ issuers: IssuerSection, _ trustDomains: TrustDomainSection
    ) -> IssuerName? {
        switch (fields["issuer"], fields["trust_domain"]) {
        case (let node?, nil): return issuer(node, issuers, fields.problems)
        case (nil, let node?): return trustDomains.name(node, fields.problems).map { IssuerName($0) }
        case (_?, let node?):
            return node.refused(fields.problems, "expected issuer or trust_domain, not both: a rule is for one of them")
        case (nil, nil):
            fields.problems.add(
                fields.place, "expected the key \("issuer".quoted) in a rule, or \("trust_domain".quoted)")
            return nil
        }
    }

    /// Whether the claims that tell the tenants of a shared issuer apart are tested as the text that they are.
    private static func areTexts(
        _ matchers: [MatchSection.Matcher], of issuer: IssuerConfiguration, _ shared: SharedIssuers,
        _ problems: Problems
    ) -> Bool {
        let texts = shared.requirement(of: issuer.issuer) ?? []
        for matcher in matchers where texts.contains(where: matcher.matcher.claim.isSame(as:)) {
            let isText = matcher.matcher.anyOf.allSatisfy { if case .text = $0 { true } else { false } }
            if !isText {
                problems.add(
                    matcher.place,
                    "expected text: \(issuer.name) issues \(matcher.matcher.claim) as text, so write it in quotes")
                return false
            }
        }
        return true
    }

    private static func name(_ node: YAMLNode, _ problems: Problems) -> String? {
        let expected = "a name of 1 to 128 printable ASCII characters without spaces"
        guard let text = node.text(problems, expected: expected) else { return nil }
        guard text.utf8.count <= 128, text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            return node.refused(problems, "expected \(expected)")
        }
        return text
    }

    private static func issuer(_ node: YAMLNode, _ issuers: IssuerSection, _ problems: Problems) -> IssuerName? {
        guard let text = node.text(problems, expected: "the name of an issuer") else { return nil }
        if let name = IssuerName(parsing: text), issuers.names[name] != nil { return name }
        let nearest = text.nearest(among: issuers.names.keys.map(\.description).sorted())
        let advice = nearest.map { "; did you mean \($0.quoted)?" } ?? ""
        return node.refused(
            problems, "expected the name of an issuer: none that is configured is named \(text.quoted)\(advice)")
    }
}
