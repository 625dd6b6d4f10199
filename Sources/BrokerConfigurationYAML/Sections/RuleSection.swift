internal import Broker
internal import JOSE

/// The entries of `rules`
struct RuleSection {
    /// More are an error.
    static let maximumCount = 10_000

    /// Nil after an error.
    let rules: RuleSet?
    /// Those that could be read, in their order.
    let entries: [RuleEntry]

    init(
        _ nodes: [YAMLNode], issuers: IssuerSection, trustDomains: TrustDomainSection, shared: SharedIssuers,
        tokens: TokenConfiguration?, problems: Problems
    ) {
        let entries = nodes.compactMap {
            RuleEntry(
                $0, issuers: issuers, trustDomains: trustDomains, shared: shared, tokens: tokens, problems: problems)
        }
        self.entries = entries
        rules = tokens.flatMap {
            Self.checked(entries, issuers: issuers, trustDomains: trustDomains, broker: $0.issuer, problems)
        }
    }

    /// One error after another: the set names only the first rule that it does not accept.
    private static func checked(
        _ entries: [RuleEntry], issuers: IssuerSection, trustDomains: TrustDomainSection, broker: ExactString,
        _ problems: Problems
    ) -> RuleSet? {
        var entries = entries
        var isSound = true
        for _ in 0...ConfigurationErrors.maximumCount {
            do {
                let set = try RuleSet(
                    entries.map(\.rule), issuers: issuers.configurations,
                    trustDomains: trustDomains.configurations.map(\.name), broker: broker)
                return isSound ? set : nil
            } catch {
                isSound = false
                let places = entries.indices.filter { entries[$0].rule.name == error.rule }
                guard let first = places.first, let last = places.last else { return nil }
                if case .duplicateName = error {
                    problems.add(entries[last].place, "\(error); the other is at \(entries[first].place)")
                    entries.remove(at: last)
                } else {
                    problems.add(entries[first].place, "\(error)")
                    entries.remove(at: first)
                }
            }
        }
        return nil
    }
}
