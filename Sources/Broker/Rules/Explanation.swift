package import JOSE

/// Why no rule matched: for each rule that was tried, the claims and ids that failed, and of the nearest ones also those
/// that held. For the audit record; a caller learns no more than `ownFailures`.
package struct Explanation: Sendable, Hashable {
    /// More rules than these are counted, not listed.
    package static let maximumRules = 50
    /// Of so many rules, the nearest, also what held is listed.
    package static let maximumWholeRules = 10
    /// In bytes of JSON. A claim whose value is longer is shown by the digest of it: it stands here once for each rule
    /// that reads it, and an issuer, not we, decides how long it is.
    package static let maximumValueLength = 256
    /// In bytes of JSON, of all rules together: from the one on that would exceed it they are counted, not listed. The
    /// nearest is always there.
    package static let maximumLength = 64 * 1024

    /// The rule that the caller named, if it did; by its digest where no rule can have so long a name.
    package let named: JSONValue?
    /// The nearest first.
    package let rules: [RuleMiss]
    package let omittedRules: Int
    /// What of the caller's own token did not match, where a rule that was tried explains itself to callers: the claims
    /// and ids of the nearest such rule, by their names, and never a value. Nil where no rule does.
    package let ownFailures: [ExactString]?
    /// That rule.
    package let ownRule: ExactString?

    /// A rule that was tried, and what of it did not hold.
    package struct RuleMiss: Sendable, Hashable {
        package let rule: ExactString
        package let claims: [ClaimTest]
        package let ids: [IDTest]
        /// What is asked for and the rule does not grant.
        package let asked: [AskedTest]
        /// What did hold; empty for rules that are far.
        package let held: [ClaimTest]
    }

    /// A claim that a rule tests.
    package struct ClaimTest: Sendable, Hashable {
        package let claim: ExactString
        /// As the rule has them: patterns as text, truth and numbers as what they are.
        package let wanted: WantedValues
        /// Nil where the claim is missing.
        package let got: JSONValue?
    }

    /// An id that the rule lists under `federation`.
    package struct IDTest: Sendable, Hashable {
        package let parameter: FederationIDs.Parameter
        package let wanted: ExactString
        /// Nil where the request has none; by its digest where it is long.
        package let got: JSONValue?
    }

    /// - Parameters:
    ///   - scope: what the request asks for; nil: all.
    ///   - targets: the audiences that it asks for.
    init(
        of subject: VerifiedSubject, presenting ids: FederationIDs, asking scope: [Scope]?, for targets: [ExactString],
        named: ExactString?, candidates: [Rule]
    ) {
        let misses = candidates.map { rule in
            Miss(
                rule: rule, matchers: rule.matchers.filter { !$0.matches(subject.claims) },
                ids: rule.federation.mismatches(with: ids), asked: AskedTest.failed(by: scope, targets, rule.terms))
        }
        self.init(misses, of: subject.claims, presenting: ids, named: named)
    }

    /// Of claims that were kept of a session's subject, and its own rule; without one where that is gone.
    init(ofKept claims: JSONObject, rule: Rule?) {
        let misses = rule.map { rule in
            [Miss(rule: rule, matchers: rule.matchers.filter { !$0.matchesKept(claims) }, ids: [], asked: [])]
        }
        self.init(misses ?? [], of: claims, presenting: FederationIDs(), named: nil)
    }

    private struct Miss {
        let rule: Rule
        let matchers: [ClaimMatcher]
        let ids: [FederationIDs.Parameter]
        let asked: [AskedTest]

        /// What a smaller change makes match comes first. A rule that would match and then not grant what is asked for
        /// is no help.
        var distance: (Int, Int) { (asked.isEmpty ? 0 : 1, matchers.count + ids.count) }
    }

    private init(_ misses: [Miss], of claims: JSONObject, presenting ids: FederationIDs, named: ExactString?) {
        // The nearest miss first: what an operator looks for.
        let misses = misses.sorted { $0.distance < $1.distance }
        self.named = named.map { KeptClaims.shortened(.string($0)) }
        var (rules, length): ([RuleMiss], Int) = ([], 0)
        for miss in misses.prefix(Self.maximumRules) {
            let (rule, failed) = (miss.rule, miss.matchers)
            let held = rules.count < Self.maximumWholeRules ? rule.matchers.filter { !failed.contains($0) } : []
            let shown = RuleMiss(
                rule: rule.name, claims: failed.map { ClaimTest($0, in: claims) },
                ids: miss.ids.compactMap { IDTest($0, of: rule, presented: ids) }, asked: miss.asked,
                held: held.map { ClaimTest($0, in: claims) })
            length += shown.json.encoded().count
            guard rules.isEmpty || length <= Self.maximumLength else { break }
            rules.append(shown)
        }
        self.rules = rules
        omittedRules = misses.count - rules.count
        let own = misses.first { $0.rule.terms.explainsToCaller }
        ownRule = own?.rule.name
        ownFailures = own.map { miss in
            miss.matchers.map(\.claim.text) + miss.ids.map { ExactString($0.rawValue) }
        }
    }

    /// As it is recorded.
    package var json: JSONObject {
        var json: JSONObject = [:]
        if let named { _ = json.append("named", named) }
        _ = json.append("rules", .array(rules.map { .object($0.json) }))
        if omittedRules > 0 { _ = json.append("omitted_rules", .number(Double(omittedRules))) }
        return json
    }
}

extension Explanation.RuleMiss {
    package var json: JSONObject {
        var json: JSONObject = [
            "rule": .string(rule),
            "failed": .array((claims.map(\.json) + ids.map(\.json) + asked.map(\.json)).map { .object($0) }),
        ]
        if !held.isEmpty { _ = json.append("held", .array(held.map { .object($0.json) })) }
        return json
    }
}

extension Explanation.ClaimTest {
    package init(_ matcher: ClaimMatcher, in claims: JSONObject) {
        self.init(matcher, got: matcher.claim.value(in: claims))
    }

    /// - Parameter got: nil where the claim is missing.
    init(_ matcher: ClaimMatcher, got: JSONValue?) {
        claim = matcher.claim.text
        wanted = matcher.wanted
        self.got = got?.shown
    }

    package var json: JSONObject {
        var json: JSONObject = ["claim": .string(claim)]
        wanted.append(to: &json)
        if let got { _ = json.append("got", got) }
        return json
    }
}

extension Explanation.IDTest {
    init?(_ parameter: FederationIDs.Parameter, of rule: Rule, presented: FederationIDs) {
        guard let wanted = rule.federation[parameter] else { return nil }
        self.parameter = parameter
        self.wanted = wanted
        got = presented[parameter].map { KeptClaims.shortened(.string($0)) }
    }

    package var json: JSONObject {
        var json: JSONObject = [
            "parameter": .string(ExactString(parameter.rawValue)), "wanted": .array([.string(wanted)]),
        ]
        if let got { _ = json.append("got", got) }
        return json
    }
}
