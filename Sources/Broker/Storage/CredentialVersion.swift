package import FoundationEssentials
package import JOSE

/// A version of a provider's credential, all but the secret itself.
package struct CredentialVersion: Sendable, Hashable {
    package enum State: String, Sendable, Hashable, CaseIterable {
        /// Kept, and not used yet.
        case staged
        /// The one that requests to the provider begin with. A provider has one at most.
        case active
        /// Was active; what began with it may still be under way.
        case draining
        /// Out of use for good: its secret is erased.
        case retired

        /// Whether a version in this state may go into that one.
        func mayBecome(_ next: State) -> Bool {
            switch (self, next) {
            case (.staged, .active), (.active, .draining), (.draining, .active), (.staged, .retired),
                (.draining, .retired):
                true
            default: false
            }
        }
    }

    /// Of one provider, those that are not retired.
    package static let maximumLive = 8
    /// Those that are given. A row with any other was made by nobody of ours.
    package static let numbers = 1...Int(Int32.max)

    package let provider: ProviderName
    /// From 1 on; no number of a provider is given twice.
    package let number: Int
    package let state: State
    /// Which master key sealed it.
    package let masterKeyID: ExactString
    package let created: Date
    /// Since when it is in this state.
    package let since: Date
    /// When it was first and last used; within a minute, since uses are recorded together.
    package let firstUsed: Date?
    package let lastUsed: Date?
    /// Who added it.
    package let caller: Caller

    package init(
        provider: ProviderName, number: Int, state: State, masterKeyID: ExactString, created: Date, since: Date,
        firstUsed: Date? = nil, lastUsed: Date? = nil, caller: Caller
    ) {
        self.provider = provider
        self.number = number
        self.state = state
        self.masterKeyID = masterKeyID
        self.created = created
        self.since = since
        self.firstUsed = firstUsed
        self.lastUsed = lastUsed
        self.caller = caller
    }

    /// The same version in another state from `time` on.
    package func moved(to next: State, at time: Date) -> CredentialVersion {
        CredentialVersion(
            provider: provider, number: number, state: next, masterKeyID: masterKeyID, created: created, since: time,
            firstUsed: firstUsed, lastUsed: lastUsed, caller: caller)
    }

    /// The same version, used at these times as well.
    package func used(_ use: CredentialUse) -> CredentialVersion {
        CredentialVersion(
            provider: provider, number: number, state: state, masterKeyID: masterKeyID, created: created, since: since,
            firstUsed: min(firstUsed ?? use.first, use.first), lastUsed: max(lastUsed ?? use.last, use.last),
            caller: caller)
    }
}

/// A version at rest.
package struct SealedCredential: Sendable, Hashable {
    package let version: CredentialVersion
    /// The secret under the master key; empty where the version is retired.
    package let sealed: [UInt8]

    package init(_ version: CredentialVersion, sealed: [UInt8]) {
        self.version = version
        self.sealed = sealed
    }

    package var place: SealedPlace { Self.place(of: version.provider, version.number) }

    static func place(of provider: ProviderName, _ number: Int) -> SealedPlace {
        SealedPlace(
            purpose: "provider-credential", table: "provider_credentials", id: provider.text.string, version: number)
    }
}

/// That a version was used, once or many times.
package struct CredentialUse: Sendable, Hashable {
    package let provider: ProviderName
    package let number: Int
    package var first: Date
    package var last: Date

    package init(_ provider: ProviderName, _ number: Int, first: Date, last: Date) {
        self.provider = provider
        self.number = number
        self.first = first
        self.last = last
    }
}
