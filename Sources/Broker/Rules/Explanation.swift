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

    /// A rule that was tried, and what of it did not hold.
    package struct RuleMiss: Sendable, Hashable {
        package let rule: ExactString
        package let claims: [ClaimTest]
        package let ids: [IDTest]
        /// What did hold; empty for rules that are far.
        package let held: [ClaimTest]
    }

    /// A claim that a rule tests.
    package struct ClaimTest: Sendable, Hashable {
        package let claim: ExactString
        /// As the rule has them: patterns as text, truth and numbers as what they are.
        package let wanted: [JSONValue]
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

    init(of subject: VerifiedSubject, presenting ids: FederationIDs, named: ExactString?, candidates: [Rule]) {
        // The nearest miss first: what an operator looks for.
        let misses = candidates.map { rule in
            (
                rule: rule, matchers: rule.matchers.filter { !$0.matches(subject.claims) },
                ids: rule.federation.mismatches(with: ids)
            )
        }.sorted { $0.matchers.count + $0.ids.count < $1.matchers.count + $1.ids.count }
        self.named = named.map { KeptClaims.shortened(.string($0)) }
        var (rules, length): ([RuleMiss], Int) = ([], 0)
        for (rule, matchers, mismatches) in misses.prefix(Self.maximumRules) {
            let held = rules.count < Self.maximumWholeRules ? rule.matchers.filter { !matchers.contains($0) } : []
            let miss = RuleMiss(
                rule: rule.name, claims: matchers.map { ClaimTest($0, in: subject.claims) },
                ids: mismatches.compactMap { IDTest($0, of: rule, presented: ids) },
                held: held.map { ClaimTest($0, in: subject.claims) })
            length += miss.json.encoded().count
            guard rules.isEmpty || length <= Self.maximumLength else { break }
            rules.append(miss)
        }
        self.rules = rules
        omittedRules = misses.count - rules.count
        ownFailures = misses.first { $0.rule.terms.explainsToCaller }.map { miss in
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
            "rule": .string(rule), "failed": .array((claims.map(\.json) + ids.map(\.json)).map { .object($0) }),
        ]
        if !held.isEmpty { _ = json.append("held", .array(held.map { .object($0.json) })) }
        return json
    }
}

extension Explanation.ClaimTest {
    package init(_ matcher: ClaimMatcher, in claims: JSONObject) {
        claim = matcher.claim.text
        wanted = matcher.anyOf.map(\.json)
        got = matcher.claim.value(in: claims).map { value in
            let bytes = value.encoded()
            return bytes.count > Explanation.maximumValueLength ? KeptClaims.digest(of: bytes) : value
        }
    }

    package var json: JSONObject {
        var json: JSONObject = [
            "claim": .string(claim), "wanted": .array(wanted),
        ]
        if let got { _ = json.append("got", got) }
        return json
    }
}

extension Explanation.IDTest {
    fileprivate init?(_ parameter: FederationIDs.Parameter, of rule: Rule, presented: FederationIDs) {
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
