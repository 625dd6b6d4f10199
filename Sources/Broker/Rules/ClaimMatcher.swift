package import JOSE

/// One line of a rule's `match`: a claim, and the values of which it has to have one.
package struct ClaimMatcher: Sendable, Hashable {
    package enum Pattern: Sendable, Hashable {
        case text(Glob)
        case bool(Bool)
        case number(Double)
    }

    package let claim: ClaimPath
    /// Never empty.
    package let anyOf: [Pattern]

    package init(claim: ClaimPath, anyOf: [Pattern]) {
        precondition(!anyOf.isEmpty, "a matcher without a value matches nothing")
        self.claim = claim
        self.anyOf = anyOf
    }

    /// Whether the claim is there and has, or as an array contains, one of the values. Types are kept apart: the text
    /// `true` is not `true`, and null and objects match nothing.
    package func matches(_ claims: JSONObject) -> Bool {
        guard let value = claim.value(in: claims) else { return false }
        if case .array(let elements) = value { return elements.contains(where: matchesOne) }
        return matchesOne(value)
    }

    /// Whether claims that were kept of a token still match. Long text was kept as its digest, which only a pattern
    /// without a wildcard can be compared with.
    package func matchesKept(_ claims: JSONObject) -> Bool {
        if matches(claims) { return true }
        let value = claim.value(in: claims)
        let kept = value?.array ?? [value].compactMap(\.self)
        return anyOf.contains { pattern in
            guard case .text(let glob) = pattern, let text = glob.literal else { return false }
            return kept.contains { $0.object.map { KeptClaims.isDigest($0, of: text) } ?? false }
        }
    }

    /// Whether the claim is pinned: no value of it is a pattern.
    package var isExact: Bool {
        anyOf.allSatisfy { if case .text(let glob) = $0 { !glob.hasWildcard } else { true } }
    }

    /// The same of one value that is no array.
    func matchesOne(_ value: JSONValue) -> Bool {
        anyOf.contains { pattern in
            switch (pattern, value) {
            case (.text(let glob), .string(let text)): glob.matches(text)
            case (.bool(let wanted), .bool(let got)): wanted == got
            case (.number(let wanted), .number(let got)): wanted == got
            default: false
            }
        }
    }
}

extension ClaimMatcher.Pattern: CustomStringConvertible {
    package var description: String {
        switch self {
        case .text(let glob): glob.pattern.string
        case .bool(let bool): "\(bool)"
        case .number(let number): String(decoding: JSONValue.number(number).encoded(), as: UTF8.self)
        }
    }
}

extension ClaimMatcher.Pattern {
    /// As a configuration may have it: JSON is YAML, too.
    package var json: JSONValue {
        switch self {
        case .text(let glob): .string(glob.pattern)
        case .bool(let bool): .bool(bool)
        case .number(let number): .number(number)
        }
    }
}
