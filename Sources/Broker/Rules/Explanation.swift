package import JOSE

/// Why no rule matched: for each rule that was tried, the claims that failed. For the audit record, never for the caller.
package struct Explanation: Sendable, Hashable {
    /// More rules than these are counted, not listed.
    package static let maximumRules = 50
    /// A longer value of a claim is shown by its digest.
    package static let maximumValueLength = 256

    /// The rule that the caller named, if it did.
    package let named: ExactString?
    package let rules: [RuleMiss]
    package let omittedRules: Int

    package struct RuleMiss: Sendable, Hashable {
        package let rule: ExactString
        package let claims: [ClaimMiss]
    }

    package struct ClaimMiss: Sendable, Hashable {
        package let claim: ExactString
        package let wanted: [String]
        /// Nil where the claim is missing.
        package let got: JSONValue?
    }

    init(of subject: VerifiedSubject, named: ExactString?, candidates: [Rule]) {
        // The nearest miss first: what an operator looks for.
        let misses = candidates.map { rule in
            RuleMiss(
                rule: rule.name,
                claims: rule.matchers.filter { !$0.matches(subject.claims) }.map { matcher in
                    ClaimMiss(
                        claim: matcher.claim.text, wanted: matcher.anyOf.map(\.description),
                        got: matcher.claim.value(in: subject.claims).map(KeptClaims.shortened))
                })
        }.sorted { $0.claims.count < $1.claims.count }
        self.named = named
        rules = Array(misses.prefix(Self.maximumRules))
        omittedRules = misses.count - rules.count
    }

    /// As it is recorded.
    package var json: JSONObject {
        var json: JSONObject = [:]
        if let named { _ = json.append("named", .string(named)) }
        _ = json.append("rules", .array(rules.map { .object($0.json) }))
        if omittedRules > 0 { _ = json.append("omitted_rules", .number(Double(omittedRules))) }
        return json
    }
}

extension Explanation.RuleMiss {
    fileprivate var json: JSONObject {
        ["rule": .string(rule), "failed": .array(claims.map { .object($0.json) })]
    }
}

extension Explanation.ClaimMiss {
    fileprivate var json: JSONObject {
        var json: JSONObject = [
            "claim": .string(claim), "wanted": .array(wanted.map { .string(ExactString($0)) }),
        ]
        if let got { _ = json.append("got", got) }
        return json
    }
}
