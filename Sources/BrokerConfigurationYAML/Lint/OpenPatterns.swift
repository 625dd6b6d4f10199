internal import Broker
internal import JOSE
internal import SPIFFE

/// Patterns that demand nothing of a claim.
enum OpenPatterns {
    static func notes(_ entry: RuleEntry) -> [ConfigurationNote] {
        entry.matchers.flatMap { matcher in
            zip(matcher.matcher.anyOf, matcher.patternPlaces).compactMap { pattern, place in
                guard case .text(let glob) = pattern, glob.hasWildcard, glob.isBare else { return nil }
                return ConfigurationNote(place: place, text: text(glob, matcher.matcher.claim))
            }
        }
    }

    /// Patterns that demand nothing of a SPIFFE ID but its trust domain.
    static func notes(_ entry: RuleEntry, of domain: TrustDomain) -> [ConfigurationNote] {
        let prefix = "spiffe://\(domain)/".utf8.count
        return entry.matchers.flatMap { matcher in
            zip(matcher.matcher.anyOf, matcher.patternPlaces).compactMap { pattern, place in
                guard case .text(let glob) = pattern, glob.hasWildcard,
                    glob.literalBytes.dropFirst(prefix).allSatisfy({ $0 == UInt8(ascii: "/") })
                else { return nil }
                return ConfigurationNote(
                    place: place,
                    text: "\(glob.pattern.string.quoted) matches whatever workload of \(domain) has such a path: write "
                        + "the part that has to be there, such as ns/team/sa/*")
            }
        }
    }

    private static func text(_ glob: Glob, _ claim: ClaimPath) -> String {
        let pattern = glob.pattern.string.quoted
        if glob.matchesEverything {
            return "\(pattern) matches every text, so nothing but the presence of \(claim) is tested: "
                + "leave it out, or write what it has to be"
        }
        return
            "\(pattern) matches whatever has \(glob.minimumLength == 0 ? "no / and : in it" : "its / and : in these places"): "
            + "write the part of \(claim) that has to be there, such as refs/heads/*"
    }
}
