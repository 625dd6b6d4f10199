internal import Broker
internal import JOSE

/// `match` of a rule
enum MatchSection {
    /// - Parameter readsSPIFFEID: whether `spiffe_id` is something that the rule's subjects have.
    static func matchers(_ node: YAMLNode, readsSPIFFEID: Bool, problems: Problems) -> [Matcher]? {
        guard case .mapping(let entries) = node.content else {
            return node.refused(problems, "expected a mapping of claims to the values that they must have")
        }
        guard (1...64).contains(entries.count) else {
            return node.refused(problems, "expected 1 to 64 claims: a rule without one would match every token")
        }
        let matchers = entries.map { entry -> Matcher? in
            let keyNode = YAMLNode(place: entry.place, content: .scalar(entry.key, isPlain: false))
            guard let claim = claim(keyNode, problems) else { return nil }
            if claim.text == "trust_domain" {
                return keyNode.refused(problems, "trust_domain stands beside match, in the place of issuer")
            }
            if claim.text == VerifiedSubject.spiffeIDClaim, !readsSPIFFEID {
                return keyNode.refused(problems, "spiffe_id stands only in a rule with trust_domain instead of issuer")
            }
            guard let patterns = patterns(entry.value, problems) else { return nil }
            return Matcher(
                claimPlace: entry.place, place: entry.value.place, patternPlaces: entry.value.elementPlaces,
                matcher: ClaimMatcher(claim: claim, anyOf: patterns))
        }
        return matchers.contains { $0 == nil } ? nil : matchers.compactMap(\.self)
    }

    struct Matcher {
        let claimPlace: Place
        /// Of the value, or of the list of them.
        let place: Place
        /// Of each of the matcher's patterns.
        let patternPlaces: [Place]
        let matcher: ClaimMatcher
    }

    static func claim(_ node: YAMLNode, _ problems: Problems) -> ClaimPath? {
        let expected = "the name of a claim, or a JSON Pointer such as /kubernetes.io/namespace"
        guard let text = node.text(problems, expected: expected, limit: 256) else { return nil }
        return ClaimPath(parsing: text) ?? node.refused(problems, "expected \(expected)")
    }

    private static func patterns(_ node: YAMLNode, _ problems: Problems) -> [ClaimMatcher.Pattern]? {
        guard case .list = node.content else { return pattern(node, problems).map { [$0] } }
        return node.list(problems, of: "values", limit: 256)?.unique(problems) { pattern($0, problems) }
    }

    /// With quotes always text; without, `true`, `false` and decimal numbers are what they look like, and what only some
    /// readers of YAML take for text is refused.
    private static func pattern(_ node: YAMLNode, _ problems: Problems) -> ClaimMatcher.Pattern? {
        guard case .scalar(let text, let isPlain) = node.content else {
            return node.refused(problems, "expected text, true, false, a number, or a list of these")
        }
        switch isPlain ? PlainScalar(text) : .text {
        case .bool(let bool): return .bool(bool)
        case .number(let number): return .number(number)
        case .numberOutOfRange:
            return node.refused(
                problems, "expected a number within ±9007199254740992; if it is text, write it in quotes")
        case .null: return node.refused(problems, "expected a value; if \(text.quoted) is text, write it in quotes")
        case .ambiguous:
            return node.refused(
                problems,
                "\(text.quoted) without quotes is read in different ways: write text in quotes, "
                    + "booleans as true or false, numbers in plain decimals")
        case .text:
            do {
                return .text(try Glob(parsing: text))
            } catch {
                return node.refused(problems, "\(error)")
            }
        }
    }
}

extension YAMLNode {
    fileprivate var elementPlaces: [Place] {
        if case .list(let nodes) = content { nodes.map(\.place) } else { [place] }
    }
}
