internal import Broker
internal import JOSE

/// One rule, and where its parts stand.
struct RuleEntry {
    let rule: Rule
    /// Of its name.
    let place: Place
    /// Of its issuer's name.
    let issuerPlace: Place
    let matchPlace: Place
    let matchers: [MatchSection.Matcher]
    /// Nil where the rule leaves it to the default.
    let timeToLivePlace: Place?

    init?(
        _ node: YAMLNode, issuers: IssuerSection, shared: SharedIssuers, tokens: TokenConfiguration?, problems: Problems
    ) {
        let fields = Fields(
            node, "a rule", known: ["name", "issuer", "match", "federation", "grant"], later: ["trust_domain"],
            problems: problems)
        guard let fields else { return nil }
        let name = fields.required("name").flatMap { Self.name($0, problems) }
        let issuer = fields.required("issuer").flatMap { Self.issuer($0, issuers, problems) }
        let matchers = fields.required("match").flatMap { MatchSection.matchers($0, problems: problems) }
        let terms = fields.required("grant").flatMap {
            GrantSection.terms($0, tokens: tokens, problems: problems)
        }
        let federation =
            fields["federation"].map { FederationSection.ids($0, problems: problems) } ?? FederationIDs()
        guard let name, let issuer, let matchers, let federation, let terms else { return nil }
        // An issuer with errors has been reported where it stands.
        guard let configuration = issuers.configurations.first(where: { $0.name == issuer }) else { return nil }
        let texts = shared.requirement(of: configuration.issuer) ?? []
        for matcher in matchers where texts.contains(where: matcher.matcher.claim.isSame(as:)) {
            let isText = matcher.matcher.anyOf.allSatisfy { if case .text = $0 { true } else { false } }
            if !isText {
                problems.add(
                    matcher.place,
                    "expected text: \(issuer) issues \(matcher.matcher.claim) as text, so write it in quotes")
                return nil
            }
        }
        let rule = Rule(
            name: name, issuer: issuer, matchers: matchers.map(\.matcher), federation: federation, terms: terms)
        guard let rule else { return nil }
        self.rule = rule
        place = fields["name"]?.place ?? node.place
        issuerPlace = fields["issuer"]?.place ?? node.place
        matchPlace = fields["match"]?.place ?? node.place
        self.matchers = matchers
        timeToLivePlace = fields["grant"]?.value(of: "ttl")?.place
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
