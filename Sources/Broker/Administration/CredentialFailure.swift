package import JOSE

/// Why a provider's credential was not changed, or is not there to be used. It says nothing of the secret but its length.
package enum CredentialFailure: Error, Sendable, CustomStringConvertible {
    /// There is no such version, or none of the provider at all.
    case unknown(ProviderName, Int?)
    /// So many bytes are no secret.
    case length(Int)
    /// It is there already, as that version.
    case duplicate(CredentialVersion)
    case retired(CredentialVersion)
    /// The version that is to go is the last one that requests can use.
    case lastUsable(CredentialVersion)
    /// The same, since the active one does not open.
    case activeUnusable(CredentialVersion)
    case damaged(CredentialVersion)
    case otherMasterKey(CredentialVersion, have: ExactString)
    /// No version of the provider was promoted yet.
    case noneActive(ProviderName)
    /// The one that is staged was meant, and there is none, or these are.
    case staged([Int], ProviderName)
    case tooManyVersions(ProviderName)
    case tooManyProviders
    /// Others changed the same credential all the time.
    case busy(ProviderName)
    case sealing(String)
    case store(StoreFailure)

    package var description: String {
        switch self {
        case .unknown(let provider, let number?): "there is no version \(number) of the credential of \(provider)"
        case .unknown(let provider, nil): "there is no credential of \(provider)"
        case .length(0): "the secret is empty"
        case .length: "a secret has 1 to \(ProviderCredentials.maximumLength) bytes"
        case .duplicate(let version): "this secret is there already: \(version.name), \(version.state.rawValue)"
        case .retired(let version): "\(version.name) is retired, and its secret erased: add it again"
        case .lastUsable(let version): "\(version.name) is the active one: promote another one first"
        case .activeUnusable(let version):
            "\(version.name) is the active one and does not open: no other may be retired before a good one is promoted"
        case .damaged(let version): "\(version.name) does not open: its row was altered or damaged"
        case .otherMasterKey(let version, let have):
            "\(version.name) was sealed with master key \(version.masterKeyID), and the master key file holds \(have)"
        case .noneActive(let provider): "no version of the credential of \(provider) is active: promote one"
        case .staged([], let provider): "no version of the credential of \(provider) is staged"
        case .staged(let numbers, let provider):
            "versions \(numbers.map(String.init).joined(separator: ", ")) of the credential of \(provider) are staged: "
                + "say which one"
        case .tooManyVersions(let provider):
            "the credential of \(provider) has \(CredentialVersion.maximumLive) versions that are not retired: "
                + "retire one first"
        case .tooManyProviders: "there are credentials of \(ProviderCredentials.maximumProviders) providers already"
        case .busy(let provider): "the credential of \(provider) is being changed by others"
        case .sealing(let cause): "the secret could not be sealed: \(cause)"
        case .store(let failure): "\(failure)"
        }
    }
}

extension CredentialVersion {
    /// For messages.
    var name: String { "version \(number) of the credential of \(provider)" }
}
