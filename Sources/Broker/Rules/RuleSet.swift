package import JOSE

/// All rules in their order, checked against the issuers that they speak of. The only maker of a `Grant`.
package struct RuleSet: Sendable {
    package let rules: [Rule]
    private let byIssuer: [IssuerName: [Rule]]
    private let readClaims: [IssuerName: Set<ExactString>]

    package init(_ rules: [Rule], issuers: [IssuerConfiguration]) throws(RuleSetFailure) {
        let issuersByName = Dictionary(issuers.map { ($0.name, $0) }) { first, _ in first }
        var names: Set<ExactString> = []
        for rule in rules {
            guard names.insert(rule.name).inserted else { throw .duplicateName(rule.name) }
            guard let issuer = issuersByName[rule.issuer] else { throw .unknownIssuer(rule.issuer, rule: rule.name) }
            guard !rule.matchers.isEmpty else { throw .noMatchers(rule: rule.name) }
            if !issuer.requiredClaims.isEmpty, !rule.pins(oneOf: issuer.requiredClaims) {
                throw .requiredClaim(issuer.requiredClaims, issuer: issuer.name, rule: rule.name)
            }
            if let scope = rule.terms.scope.first(where: \.isReserved) { throw .reservedScope(scope, rule: rule.name) }
        }
        self.rules = rules
        byIssuer = Dictionary(grouping: rules, by: \.issuer)
        readClaims = byIssuer.mapValues { Set($0.flatMap { $0.matchers.map(\.claim.topLevelName) }) }
    }

    /// What the first rule that matches grants; with `name`, what that rule grants, if it matches.
    ///
    /// An unknown name, the name of another issuer's rule and a name that does not match are all refused; only the
    /// explanation, which no caller sees, tells them apart.
    ///
    /// - Parameter ids: what the request says of itself; a rule that lists ids matches only where they are equal.
    package func match(
        _ subject: VerifiedSubject, naming name: ExactString?, presenting ids: FederationIDs = FederationIDs()
    ) -> Outcome {
        var candidates = byIssuer[subject.issuer] ?? []
        if let name { candidates = candidates.filter { $0.name == name } }
        let match = candidates.first { rule in
            rule.matchers.allSatisfy { $0.matches(subject.claims) } && rule.federation.areAll(in: ids)
        }
        if let rule = match {
            return .granted(Grant(Match(rule: rule)))
        }
        return .refused(Explanation(of: subject, presenting: ids, named: name, candidates: candidates))
    }

    /// What the session's own rule grants by now, if it is still there and matches the claims that were kept.
    ///
    /// The ids that a rule lists belong to the request that opened the session: they are not asked for again.
    package func matchAgain(_ session: SessionRecord) -> Grant? {
        let rule = byIssuer[session.issuer]?.first { $0.name == session.rule }
        guard let rule, rule.matchers.allSatisfy({ $0.matchesKept(session.claims) }) else { return nil }
        return Grant(Match(rule: rule))
    }

    /// The claims that rules of this issuer read, by their names at the top level.
    package func claimsRead(of issuer: IssuerName) -> Set<ExactString> {
        readClaims[issuer] ?? []
    }

    package enum Outcome: Sendable {
        case granted(Grant)
        case refused(Explanation)
    }

    /// That a rule matched. Nobody else can make one, so nobody else can make a `Grant`.
    package struct Match: Sendable {
        let rule: Rule

        fileprivate init(rule: Rule) {
            self.rule = rule
        }
    }
}

extension Rule {
    fileprivate func pins(oneOf claims: [ExactString]) -> Bool {
        matchers.contains { matcher in matcher.isExact && claims.contains(where: matcher.claim.isSame(as:)) }
    }
}

/// Why rules are not accepted as a set.
package enum RuleSetFailure: Error, Sendable, CustomStringConvertible {
    case duplicateName(ExactString)
    case unknownIssuer(IssuerName, rule: ExactString)
    case noMatchers(rule: ExactString)
    case requiredClaim([ExactString], issuer: IssuerName, rule: ExactString)
    case reservedScope(Scope, rule: ExactString)

    /// The rule at fault.
    package var rule: ExactString {
        switch self {
        case .duplicateName(let rule), .unknownIssuer(_, let rule), .noMatchers(let rule),
            .requiredClaim(_, _, let rule), .reservedScope(_, let rule):
            rule
        }
    }

    package var description: String {
        switch self {
        case .duplicateName(let rule): "two rules are named \(rule)"
        case .unknownIssuer(let issuer, let rule): "rule \(rule) names the issuer \(issuer), which is not configured"
        case .noMatchers(let rule): "rule \(rule) tests no claim, so it would match every token of its issuer"
        case .requiredClaim(let claims, let issuer, let rule):
            """
            rule \(rule) has to match one of \(claims.map(\.string).joined(separator: ", ")) without a wildcard: \
            \(issuer) issues tokens to everybody
            """
        case .reservedScope(let scope, let rule):
            "rule \(rule) grants \(scope): scopes that start with daypass: are not yet supported"
        }
    }
}
