package import JOSE

/// What can be said of a pattern before there is any text: for the check of a configuration.
extension Glob {
    /// Whether it is certain that everything that `other` matches is matched here as well. False says nothing.
    package func covers(_ other: Glob) -> Bool {
        if self == other { return true }
        if let literal = other.literal { return matches(literal) }
        guard hasWildcard else { return false }
        var reachable = start
        for token in other.tokens {
            if case .byte(let byte) = token {
                guard advance(&reachable, over: byte) else { return false }
                continue
            }
            // Whatever the other's wildcard takes, one of ours takes as a whole, and we stay where we are.
            for index in reachable.indices {
                let wildcard = index < tokens.count ? tokens[index] : nil
                reachable[index] =
                    reachable[index] && (wildcard == .anything || wildcard == .segment && token == .segment)
            }
            guard reachable.contains(true) else { return false }
            skipWildcards(&reachable)
        }
        return reachable[tokens.count]
    }

    /// Whether it matches a text that begins so.
    package func canBegin(with prefix: ExactString) -> Bool {
        var reachable = start
        // Each position is followed by one that matches something, so one that is left is enough.
        return prefix.utf8.allSatisfy { advance(&reachable, over: $0) }
    }

    /// The only text that matches; nil where there is a wildcard.
    package var onlyText: ExactString? { literal }

    /// Of the texts that match, in bytes.
    package var minimumLength: Int { literalBytes.count }

    /// The bytes that stand in every text that matches, in their order.
    package var literalBytes: [UInt8] {
        tokens.compactMap { if case .byte(let byte) = $0 { byte } else { nil } }
    }

    /// Whether it matches every text of at most 4096 bytes.
    package var matchesEverything: Bool { tokens.contains(.anything) && literalBytes.isEmpty }

    /// Whether nothing but `/` and `:` is demanded of a text.
    package var isBare: Bool { literalBytes.allSatisfy { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: ":") } }
}
