internal import Broker
internal import JOSE

/// Values that a token of the issuer cannot have: a slip that shows as a refusal only when somebody needs the rule.
enum NeverMatching {
    static func notes(_ entry: RuleEntry, _ issuer: IssuerConfiguration, _ known: KnownIssuer) -> [ConfigurationNote] {
        entry.matchers.flatMap { values(of: $0, in: entry, issuer, known) } + contradictions(entry, known)
    }

    private static func values(
        of matcher: MatchSection.Matcher, in entry: RuleEntry, _ issuer: IssuerConfiguration, _ known: KnownIssuer
    ) -> [ConfigurationNote] {
        let claim = matcher.matcher.claim
        guard let form = known.claims[claim.topLevelName] else { return misspelt(matcher, entry, known) }
        if claim.isNested {
            guard form.isScalar else { return [] }
            let text = never(entry, "\(claim.topLevelName) is no object, so there is nothing in it")
            return [ConfigurationNote(place: matcher.claimPlace, text: text)]
        }
        let reasons = matcher.matcher.anyOf.map { pattern -> String? in
            if claim.topLevelName == "iss", case .text(let glob) = pattern {
                return glob.matches(issuer.issuer) ? nil : "iss of \(issuer.name) is \(issuer.issuer)"
            }
            return form.objection(to: pattern, of: claim.topLevelName)
        }
        let isHopeless = reasons.allSatisfy { $0 != nil }
        return zip(reasons, matcher.patternPlaces).compactMap { reason, place in
            guard let reason else { return nil }
            return ConfigurationNote(
                place: place, text: isHopeless ? never(entry, reason) : "this value can never match: \(reason)")
        }
    }

    /// A claim that we do not know is no slip by itself; one that is nearly one that we know is.
    private static func misspelt(
        _ matcher: MatchSection.Matcher, _ entry: RuleEntry, _ known: KnownIssuer
    ) -> [ConfigurationNote] {
        guard let provider = known.provider, !matcher.matcher.claim.isNested else { return [] }
        let name = matcher.matcher.claim.topLevelName.string
        guard let nearest = name.nearest(among: known.claims.keys.map(\.string).sorted()) else { return [] }
        let reason =
            "tokens of \(provider) have no claim \(name.quoted) that we know of; did you mean \(nearest.quoted)?"
        return [ConfigurationNote(place: matcher.claimPlace, text: never(entry, reason))]
    }

    private static func contradictions(_ entry: RuleEntry, _ known: KnownIssuer) -> [ConfigurationNote] {
        var notes: [ConfigurationNote] = []
        for (index, first) in entry.matchers.enumerated() {
            for second in entry.matchers[(index + 1)...]
            where second.matcher.claim.isSame(as: first.matcher.claim.text)
                && known.isScalar(first.matcher.claim) && areDisjoint(first.matcher, second.matcher)
            {
                let reason =
                    "\(first.matcher.claim) and \(second.matcher.claim) are the same claim, and no value fits both"
                notes.append(ConfigurationNote(place: second.claimPlace, text: never(entry, reason)))
            }
            guard let implied = known.implication(of: first.matcher),
                let other = entry.matchers.first(where: { $0.matcher.claim.isSame(as: implied.claim) }),
                !implied.beginnings.contains(where: { other.matcher.canBegin(with: $0) })
            else { continue }
            let beginnings = implied.beginnings.map(\.string).joined(separator: " or ")
            let reason = "with this \(first.matcher.claim) the claim \(implied.claim) begins with \(beginnings)"
            notes.append(ConfigurationNote(place: other.place, text: never(entry, reason)))
        }
        return notes
    }

    /// Whether it is certain that no value fits both. Two patterns with wildcards are taken to overlap.
    private static func areDisjoint(_ first: ClaimMatcher, _ second: ClaimMatcher) -> Bool {
        !first.anyOf.contains { one in second.anyOf.contains { mayOverlap(one, $0) } }
    }

    private static func mayOverlap(_ one: ClaimMatcher.Pattern, _ other: ClaimMatcher.Pattern) -> Bool {
        guard case .text(let left) = one, case .text(let right) = other else { return one == other }
        return left.hasWildcard ? right.hasWildcard || left.covers(right) : right.covers(left)
    }

    private static func never(_ entry: RuleEntry, _ reason: String) -> String {
        "rule \(entry.rule.name) can never match: \(reason)"
    }
}

extension ClaimMatcher {
    fileprivate func canBegin(with prefix: ExactString) -> Bool {
        anyOf.contains { if case .text(let glob) = $0 { glob.canBegin(with: prefix) } else { false } }
    }
}
