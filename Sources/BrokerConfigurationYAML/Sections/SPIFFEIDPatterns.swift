internal import Broker
internal import JOSE
internal import SPIFFE

/// `spiffe_id` in the `match` of a rule for a trust domain: patterns of whole SPIFFE IDs.
enum SPIFFEIDPatterns {
    /// Whether the patterns are of ids that the trust domain can have; otherwise it has been reported.
    static func check(_ matchers: [MatchSection.Matcher], of domain: TrustDomain, _ problems: Problems) -> Bool {
        var isSound = true
        for matcher in matchers {
            guard matcher.matcher.claim.text == VerifiedSubject.spiffeIDClaim else {
                problems.add(
                    matcher.claimPlace,
                    "expected spiffe_id alone: a rule for a trust domain tests nothing else, since an X.509-SVID says "
                        + "nothing else")
                isSound = false
                continue
            }
            for (pattern, place) in zip(matcher.matcher.anyOf, matcher.patternPlaces) {
                guard let reason = objection(to: pattern, of: domain) else { continue }
                problems.add(place, "expected a pattern such as \("spiffe://\(domain)/ns/*/sa/*".quoted): \(reason)")
                isSound = false
            }
        }
        return isSound
    }

    /// Why no id of the trust domain's workloads matches, or ids of others may; nil where neither is so.
    private static func objection(to pattern: ClaimMatcher.Pattern, of domain: TrustDomain) -> String? {
        guard case .text(let glob) = pattern else { return "a SPIFFE ID is text" }
        let prefix = "spiffe://\(domain)/"
        guard glob.pattern.utf8.starts(with: prefix.utf8) else { return "it has to begin with \(prefix)" }
        // If any text matches, then one in which each wildcard stands for a letter.
        var witness: [UInt8] = []
        for byte in glob.pattern.utf8 where byte != UInt8(ascii: "*") || witness.last != UInt8(ascii: "*") {
            witness.append(byte)
        }
        witness = witness.map { $0 == UInt8(ascii: "*") ? UInt8(ascii: "a") : $0 }
        do {
            guard try SPIFFEID(parsing: witness).isWorkload else { return "it has no path" }
            return nil
        } catch {
            return "\(error)"
        }
    }
}
