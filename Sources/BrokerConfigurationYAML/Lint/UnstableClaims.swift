internal import Broker
internal import JOSE

/// Claims whose value can come to mean somebody else, or can change without anybody's doing wrong.
enum UnstableClaims {
    static func notes(_ entry: RuleEntry, _ known: KnownIssuer) -> [ConfigurationNote] {
        entry.matchers.compactMap { matcher in
            let claim = matcher.matcher.claim
            guard !claim.isNested else { return nil }
            let name = claim.topLevelName
            if let advice = known.adviceAgainst[name] {
                return ConfigurationNote(place: matcher.claimPlace, text: "do not match \(name): \(advice)")
            }
            guard let id = known.idOfName[name] else { return nil }
            let isPinned = entry.rule.matchers.contains { $0.isExact && $0.claim.isSame(as: id) }
            return ConfigurationNote(
                place: matcher.claimPlace,
                text: isPinned
                    ? "\(name) beside \(id) adds nothing until it is renamed, and then the rule stops matching: leave it out"
                    : "\(name) is a name, which can be given up and taken by somebody else: match \(id)")
        }
    }
}
