package import JOSE

/// Why no rule matched: for each rule that was tried, the claims and ids that failed. For the audit record, never for the
/// caller.
package struct Explanation: Sendable, Hashable {
    /// More rules than these are counted, not listed.
    package static let maximumRules = 50
    /// In bytes of JSON. A claim whose value is longer is shown by the digest of it: it stands here once for each rule
    /// that reads it, and an issuer, not we, decides how long it is.
    package static let maximumValueLength = 256

    /// The rule that the caller named, if it did; by its digest where no rule can have so long a name.
    package let named: JSONValue?
    package let rules: [RuleMiss]
    package let omittedRules: Int

    /// A rule that was tried, and what of it did not hold.
    package struct RuleMiss: Sendable, Hashable {
        package let rule: ExactString
        package let claims: [ClaimMiss]
        package let ids: [IDMiss]
    }

    /// A claim that is missing, or has none of the values that the rule wants.
    package struct ClaimMiss: Sendable, Hashable {
        package let claim: ExactString
        package let wanted: [String]
        /// Nil where the claim is missing.
        package let got: JSONValue?
    }

    /// An id that the rule lists under `federation`.
    package struct IDMiss: Sendable, Hashable {
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
        rules = misses.prefix(Self.maximumRules).map { rule, matchers, mismatches in
            RuleMiss(
                rule: rule.name, claims: matchers.map { ClaimMiss($0, in: subject.claims) },
                ids: mismatches.compactMap { IDMiss($0, of: rule, presented: ids) })
        }
        omittedRules = misses.count - rules.count
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
    fileprivate var json: JSONObject {
        ["rule": .string(rule), "failed": .array((claims.map(\.json) + ids.map(\.json)).map { .object($0) })]
    }
}

extension Explanation.ClaimMiss {
    fileprivate init(_ matcher: ClaimMatcher, in claims: JSONObject) {
        claim = matcher.claim.text
        wanted = matcher.anyOf.map(\.description)
        got = matcher.claim.value(in: claims).map { value in
            let bytes = value.encoded()
            return bytes.count > Explanation.maximumValueLength ? KeptClaims.digest(of: bytes) : value
        }
    }

    fileprivate var json: JSONObject {
        var json: JSONObject = [
            "claim": .string(claim), "wanted": .array(wanted.map { .string(ExactString($0)) }),
        ]
        if let got { _ = json.append("got", got) }
        return json
    }
}

extension Explanation.IDMiss {
    fileprivate init?(_ parameter: FederationIDs.Parameter, of rule: Rule, presented: FederationIDs) {
        guard let wanted = rule.federation[parameter] else { return nil }
        self.parameter = parameter
        self.wanted = wanted
        got = presented[parameter].map { KeptClaims.shortened(.string($0)) }
    }

    fileprivate var json: JSONObject {
        var json: JSONObject = [
            "parameter": .string(ExactString(parameter.rawValue)), "wanted": .array([.string(wanted)]),
        ]
        if let got { _ = json.append("got", got) }
        return json
    }
}
