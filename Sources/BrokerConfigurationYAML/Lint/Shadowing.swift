internal import Broker
internal import JOSE

/// Rules that are never reached, since an earlier one matches whatever they match: sound and incomplete, so that what it
/// says is true, and it may miss one.
struct Shadowing {
    /// In steps of comparing one pattern with another: seconds at most. What is left over then is not compared.
    static let maximumWork = 20_000_000

    private var workLeft = maximumWork
    /// Earlier rules by a text that a claim has to have for them to cover anything.
    private var pinned: [Pin: [Int]] = [:]
    /// The other ones, by issuer.
    private var open: [IssuerName: [Int]] = [:]

    private struct Pin: Hashable {
        let issuer: IssuerName
        let claim: ExactString
        let text: ExactString
    }

    static func notes(_ rules: [RuleEntry]) -> [ConfigurationNote] {
        var shadowing = Shadowing()
        var notes: [ConfigurationNote] = []
        for (index, entry) in rules.enumerated() {
            let rule = entry.rule
            // Whoever sends ids names the rule as well, and then order does not choose.
            if rule.federation.isEmpty, let earlier = shadowing.cover(of: rule, among: rules) {
                let text =
                    "rule \(rule.name) is only used by callers that name it: rule \(earlier.rule.name) at "
                    + "\(earlier.place) comes before it and matches whatever it matches; put it first, or take it out"
                notes.append(ConfigurationNote(place: entry.place, text: text))
            }
            shadowing.remember(rule, index)
        }
        return notes
    }

    /// A rule that was remembered and matches whatever `rule` matches.
    private mutating func cover(of rule: Rule, among rules: [RuleEntry]) -> RuleEntry? {
        let candidates = rule.matchers.compactMap { matcher in
            Self.pins(of: matcher, rule).first.flatMap { pinned[$0] }
        }
        for indices in candidates + [open[rule.issuer] ?? []] {
            for index in indices {
                guard workLeft > 0 else { return nil }
                if covers(rules[index].rule, rule) { return rules[index] }
            }
        }
        return nil
    }

    private mutating func remember(_ rule: Rule, _ index: Int) {
        // One that asks for ids lets those pass that send none.
        guard rule.federation.isEmpty else { return }
        let pins = rule.matchers.map { Self.pins(of: $0, rule) }
        let exact = zip(rule.matchers, pins).first { $0.isExact && $1.count == $0.anyOf.count }?.1
        guard let exact else {
            open[rule.issuer, default: []].append(index)
            return
        }
        for pin in exact { pinned[pin, default: []].append(index) }
    }

    /// One for each text without a wildcard.
    private static func pins(of matcher: ClaimMatcher, _ rule: Rule) -> [Pin] {
        let claim = matcher.claim.canonical
        return matcher.anyOf.compactMap { pattern in
            guard case .text(let glob) = pattern, let text = glob.onlyText else { return nil }
            return Pin(issuer: rule.issuer, claim: claim, text: text)
        }
    }

    private mutating func covers(_ earlier: Rule, _ later: Rule) -> Bool {
        // Order does not choose between the broker's own scopes and others. Of the broker's own, whoever asks for one that
        // the earlier rule lacks gets to the later.
        guard earlier.terms.isForBroker == later.terms.isForBroker,
            !later.terms.isForBroker || later.terms.scope.allSatisfy(earlier.terms.scope.contains)
        else { return false }
        for matcher in earlier.matchers {
            workLeft -= later.matchers.count
            var isCovered = false
            for candidate in later.matchers where !isCovered && candidate.claim.isSame(as: matcher.claim) {
                isCovered = covers(matcher, candidate)
            }
            guard isCovered else { return false }
        }
        return true
    }

    /// Every value that the later test accepts is one that the earlier accepts; of an array it is the same element.
    private mutating func covers(_ earlier: ClaimMatcher, _ later: ClaimMatcher) -> Bool {
        for pattern in later.anyOf {
            var isCovered = false
            for candidate in earlier.anyOf where !isCovered {
                guard workLeft > 0 else { return false }
                workLeft -= 1
                guard case .text(let wide) = candidate, case .text(let narrow) = pattern else {
                    isCovered = candidate == pattern
                    continue
                }
                if wide.hasWildcard { workLeft -= wide.pattern.utf8.count * narrow.pattern.utf8.count }
                isCovered = wide.covers(narrow)
            }
            guard isCovered else { return false }
        }
        return true
    }
}
