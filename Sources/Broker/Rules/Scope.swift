package import JOSE

/// One scope (RFC 6749 §3.3: `scope-token`).
package struct Scope: Sendable, Hashable, CustomStringConvertible {
    /// In one list.
    package static let maximumCount = 64

    package let text: ExactString

    /// - Returns: nil unless `text` is 1 to 128 of the characters %x21 / %x23-5B / %x5D-7E.
    package init?(parsing text: String) {
        let isAllowed = { (byte: UInt8) in (0x21...0x7E).contains(byte) && byte != 0x22 && byte != 0x5C }
        guard (1...128).contains(text.utf8.count), text.utf8.allSatisfy(isAllowed) else { return nil }
        self.text = ExactString(text)
    }

    /// The scopes of a space-separated list, in its order, each once.
    /// - Returns: nil when one is malformed, or there are more than 64 with those that are repeated.
    package static func list(parsing text: String) -> [Scope]? {
        var scopes: [Scope] = []
        // No further than one too many: a list may have come from anybody, and be as long as a body or a header.
        let parts = text.split(separator: " ", maxSplits: maximumCount)
        guard parts.count <= maximumCount else { return nil }
        for part in parts {
            guard let scope = Scope(parsing: String(part)) else { return nil }
            if !scopes.contains(scope) { scopes.append(scope) }
        }
        return scopes
    }

    /// A list as tokens and answers have it.
    package static func text(_ scopes: [Scope]) -> ExactString {
        ExactString(scopes.map(\.text.string).joined(separator: " "))
    }

    /// The broker's own scopes: its administration, all of it or a part; introspection of tokens; the feed of revocations.
    package static let ownTexts = [
        "daypass:admin", "daypass:audit", "daypass:credentials", "daypass:introspect", "daypass:issuers",
        "daypass:keys", "daypass:revocations", "daypass:revoke", "daypass:rules", "daypass:sessions",
    ]

    /// Asking whether a token is good.
    package static let introspect = Scope(own: "daypass:introspect")
    /// Reading what is revoked.
    package static let revocations = Scope(own: "daypass:revocations")

    private init(own text: ExactString) {
        self.text = text
    }

    /// Whether it begins with `daypass:`, in any case: the broker's own scopes are kept apart from all others, and nothing
    /// may look like one.
    package var isReserved: Bool {
        text.string.utf8.prefix(8).elementsEqual("daypass:".utf8) { $0 | 0x20 == $1 }
    }

    /// Whether the broker knows it as one of its own.
    package var isOwn: Bool { Self.ownTexts.contains { ExactString($0) == text } }

    package var description: String { text.string }
}
