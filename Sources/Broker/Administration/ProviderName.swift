package import JOSE

/// The short name of a provider whose credential is kept, such as `anthropic`. It has the form of an issuer's name,
/// `[a-z][a-z0-9-]{0,62}`, which most keys that somebody puts in its place have not.
package struct ProviderName: Sendable, Hashable, CustomStringConvertible {
    package let text: ExactString

    /// - Returns: nil unless `text` has the form above, or where it is `spiffe`.
    package init?(parsing text: String) {
        guard let name = IssuerName(parsing: text) else { return nil }
        self.text = name.text
    }

    package var description: String { text.string }
}

extension ProviderName: Comparable {
    package static func < (one: ProviderName, other: ProviderName) -> Bool { one.text < other.text }
}
