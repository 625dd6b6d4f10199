package import JOSE
package import SPIFFE

/// All rules in their order, checked against the issuers that they speak of. The only maker of a `Grant`.
///
/// Rules with the broker's own scopes (`daypass:…`) stand apart: order never chooses one.
package struct RuleSet: Sendable {
    package let rules: [Rule]
    private let byIssuer: [IssuerName: [Rule]]
    private let forBroker: [IssuerName: [Rule]]
    private let readClaims: [IssuerName: Set<ExactString>]
    private let byName: [ExactString: Rule]

    /// - Parameter broker: `iss` of gateway tokens: the audience of those for the broker itself, and of no other.
    package init(
        _ rules: [Rule], issuers: [IssuerConfiguration], trustDomains: [TrustDomain] = [], broker: ExactString
    ) throws(RuleSetFailure) {
        let issuersByName = Dictionary(issuers.map { ($0.name, $0) }) { first, _ in first }
        let trustDomains = Set(trustDomains)
        var names: Set<ExactString> = []
        for rule in rules {
            guard names.insert(rule.name).inserted else { throw .duplicateName(rule.name) }
            guard !rule.matchers.isEmpty else { throw .noMatchers(rule: rule.name) }
            let issuer = issuersByName[rule.issuer]
            let isKnown = rule.issuer.trustDomain.map(trustDomains.contains) ?? (issuer != nil)
            guard isKnown else { throw .unknownIssuer(rule.issuer, rule: rule.name) }
            if let issuer, !issuer.requiredClaims.isEmpty, !rule.pins(oneOf: issuer.requiredClaims) {
                throw .requiredClaim(issuer.requiredClaims, issuer: issuer.name, rule: rule.name)
            }
            let areForBroker = rule.terms.audiences.map { $0 == broker }
            guard areForBroker.allSatisfy({ $0 == rule.terms.isForBroker }) else { throw .audience(rule: rule.name) }
        }
        self.rules = rules
        byIssuer = Dictionary(grouping: rules.filter { !$0.terms.isForBroker }, by: \.issuer)
        forBroker = Dictionary(grouping: rules.filter(\.terms.isForBroker), by: \.issuer)
        byName = Dictionary(rules.map { ($0.name, $0) }) { first, _ in first }
        readClaims = Dictionary(grouping: rules, by: \.issuer)
            .mapValues { Set($0.flatMap { $0.matchers.map(\.claim.topLevelName) }) }
    }

    /// What the first rule that matches grants; with `name`, what that rule grants, if it matches.
    ///
    /// A rule with the broker's own scopes is tried only where it is named, or where one of its scopes is asked for; then
    /// no other is.
    ///
    /// An unknown name, the name of another issuer's rule and a name that does not match are all refused; only the
    /// explanation, which no caller sees, tells them apart.
    ///
    /// - Parameters:
    ///   - scope: what the request asks for; nil: all.
    ///   - targets: the audiences that it asks for: they choose no rule, and stand in the explanation.
    ///   - ids: what the request says of itself; a rule that lists ids matches only where they are equal.
    package func match(
        _ subject: VerifiedSubject, naming name: ExactString?, asking scope: [Scope]? = nil,
        for targets: [ExactString] = [],
        presenting ids: FederationIDs = FederationIDs()
    ) -> Outcome {
        let candidates = candidates(of: subject.issuer, naming: name, asking: scope ?? [])
        let match = candidates.first { rule in
            rule.matchers.allSatisfy { $0.matches(subject.claims) } && rule.federation.areAll(in: ids)
        }
        if let rule = match {
            return .granted(Grant(Match(rule: rule)))
        }
        return .refused(
            Explanation(
                of: subject, presenting: ids, asking: scope, for: targets, named: name, candidates: candidates))
    }

    /// The rules that are tried, in their order.
    func candidates(of issuer: IssuerName, naming name: ExactString?, asking scope: [Scope]) -> [Rule] {
        if let name {
            return [byIssuer, forBroker].flatMap { ($0[issuer] ?? []).filter { $0.name == name } }
        }
        guard scope.contains(where: \.isReserved) else { return byIssuer[issuer] ?? [] }
        return (forBroker[issuer] ?? []).filter { $0.terms.scope.contains(where: scope.contains) }
    }

    /// What the first rule that a device may have and that matches grants; with `name`, what that rule grants. One that a
    /// device never gets hides none that stands behind it.
    func matchDevice(_ subject: VerifiedSubject, naming name: ExactString?) -> Outcome {
        let candidates = deviceCandidates(of: subject.issuer, naming: name)
        let match = candidates.first { rule in rule.matchers.allSatisfy { $0.matches(subject.claims) } }
        if let rule = match { return .granted(Grant(Match(rule: rule))) }
        let none = FederationIDs()
        return .refused(
            Explanation(
                of: subject, presenting: none, asking: nil, for: [], named: name,
                candidates: self.candidates(of: subject.issuer, naming: name, asking: [])))
    }

    /// The rules that somebody who signs in on a device may get, in their order: a device shows no certificate and no ids,
    /// and the broker's own scopes have to be asked for.
    func deviceCandidates(of issuer: IssuerName, naming name: ExactString?) -> [Rule] {
        candidates(of: issuer, naming: name, asking: []).filter { rule in
            !rule.terms.isForBroker && !rule.terms.bindsCertificate && rule.federation.areAll(in: FederationIDs())
        }
    }

    /// What the session's own rule grants by now, if it is still there and matches the claims that were kept. Nothing,
    /// where it has the broker's own scopes.
    ///
    /// The ids that a rule lists belong to the request that opened the session: they are not asked for again.
    package func matchAgain(_ session: SessionRecord) -> Grant? {
        let claims = session.keptClaims
        guard let rule = rule(of: session), rule.matchers.allSatisfy({ $0.matchesKept(claims) }) else { return nil }
        return Grant(Match(rule: rule))
    }

    /// Why `matchAgain` gives nothing: what of the session's own rule failed; without a rule where that is gone.
    func explainAgain(_ session: SessionRecord) -> Explanation {
        Explanation(ofKept: session.keptClaims, rule: rule(of: session))
    }

    private func rule(of session: SessionRecord) -> Rule? {
        byIssuer[session.issuer]?.first { $0.name == session.rule }
    }

    /// The rule of that name, whoever it is for.
    func rule(_ name: ExactString) -> Rule? { byName[name] }

    /// The claims that rules of this issuer read, by their names at the top level.
    package func claimsRead(of issuer: IssuerName) -> Set<ExactString> {
        readClaims[issuer] ?? []
    }

    /// Of `match`.
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

extension SessionRecord {
    /// Those of an SVID as rules test them: its SPIFFE ID is the subject itself, however long.
    fileprivate var keptClaims: JSONObject {
        issuer.trustDomain == nil ? claims : [VerifiedSubject.spiffeIDClaim: .string(subject)]
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
    case audience(rule: ExactString)

    /// The rule at fault.
    package var rule: ExactString {
        switch self {
        case .duplicateName(let rule), .unknownIssuer(_, let rule), .noMatchers(let rule),
            .requiredClaim(_, _, let rule), .audience(let rule):
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
        case .audience(let rule):
            "rule \(rule) mixes the broker with gateways: only scopes that start with daypass: are for the broker itself"
        }
    }
}
