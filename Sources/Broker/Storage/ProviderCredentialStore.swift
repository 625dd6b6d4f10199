import FoundationEssentials
package import JOSE

/// Where the credentials of providers are kept, sealed, in versions.
package protocol ProviderCredentialStore: Sendable {
    /// All versions of a provider that ever were, in the order of their numbers.
    func sealedCredentials(of provider: ProviderName) async throws(StoreFailure) -> [SealedCredential]

    /// The next versions in the order of providers and numbers, without their secrets.
    /// - Parameters:
    ///   - provider: nil for those of all.
    ///   - position: of the last one that came before; nil for the first ones.
    func credentialVersions(
        of provider: ProviderName?, after position: CredentialPosition?, limit: Int
    ) async throws(StoreFailure) -> [CredentialVersion]

    /// Of how many providers there are versions, retired ones too.
    func countCredentialProviders() async throws(StoreFailure) -> Int

    /// Makes the change and its audit record durable, both or neither, before it returns. What is retired is erased.
    /// - Throws: `.conflict` where it does not fit what is stored: see `CredentialChange.applied(to:)`. Any other failure
    ///   leaves open whether it was made.
    func apply(_ change: CredentialChange, _ event: AuditEvent) async throws(StoreFailure)

    /// Makes the record of what was asked for and not done durable.
    func record(_ event: AuditEvent) async throws(StoreFailure)

    /// Widens the first and last use of each version to these. What was recorded before stays.
    func record(_ uses: [CredentialUse]) async throws(StoreFailure)
}

/// A place in the list of all versions.
package struct CredentialPosition: Sendable, Hashable {
    package let provider: ProviderName
    package let number: Int

    package init(_ provider: ProviderName, _ number: Int) {
        self.provider = provider
        self.number = number
    }

    /// As a cursor of a page: no provider's name has the character between the two.
    package var text: ExactString { ExactString("\(provider)_\(number)") }

    /// - Returns: nil where it is not what `text` says.
    package init?(parsing text: ExactString) {
        let parts = text.string.split(separator: "_", omittingEmptySubsequences: false)
        guard parts.count == 2, let provider = ProviderName(parsing: String(parts[0])), let number = Int(parts[1]),
            number > 0, String(number) == parts[1]
        else { return nil }
        self.init(provider, number)
    }
}
