package import FoundationEssentials
package import JOSE

/// Where the signing keys are kept, sealed.
package protocol SigningKeyStore: Sendable {
    /// All keys, oldest first.
    func signingKeys() async throws(StoreFailure) -> [SigningKeyRecord]

    /// Adds the first keys of a store, all or none.
    /// - Throws: `.conflict` when the store has keys already.
    func insertFirstSigningKeys(_ keys: [SigningKeyRecord]) async throws(StoreFailure)
}

/// A signing key at rest.
package struct SigningKeyRecord: Sendable, Hashable {
    package enum State: String, Sendable, Hashable, CaseIterable {
        /// Published, and not yet signing: gateways learn it before they need it.
        case staged
        /// The one that signs.
        case active
        /// Neither signs nor is published: its tokens are no longer good.
        case retired
    }

    /// The key's RFC 7638 thumbprint.
    package let keyID: ExactString
    package let algorithm: JWSAlgorithm
    package let state: State
    /// PKCS #8 under the master key: see `MasterKey`.
    package let sealed: [UInt8]
    /// Which master key sealed it.
    package let masterKeyID: ExactString
    package let created: Date

    package init(
        keyID: ExactString, algorithm: JWSAlgorithm, state: State, sealed: [UInt8], masterKeyID: ExactString,
        created: Date
    ) {
        self.keyID = keyID
        self.algorithm = algorithm
        self.state = state
        self.sealed = sealed
        self.masterKeyID = masterKeyID
        self.created = created
    }
}
