package import FoundationEssentials
package import JOSE

/// Where the signing keys are kept, sealed.
package protocol SigningKeyStore: Sendable {
    /// All keys that ever were, oldest first.
    func signingKeys() async throws(StoreFailure) -> [SigningKeyRecord]

    /// Adds the first keys of a store, all or none.
    /// - Throws: `.conflict` when the store has keys already.
    func insertFirstSigningKeys(_ keys: [SigningKeyRecord]) async throws(StoreFailure)

    /// Makes the change and its audit record durable, both or neither, before it returns.
    /// - Throws: `.conflict` where it does not fit what is stored: see `KeyRingChange.applied(to:)`. Any other failure
    ///   leaves open whether it was made: whoever has to know reads the keys again.
    func apply(_ change: KeyRingChange, _ event: AuditEvent) async throws(StoreFailure)
}

/// A signing key at rest.
package struct SigningKeyRecord: Sendable, Hashable {
    package enum State: String, Sendable, Hashable, CaseIterable {
        /// Published, and not yet signing: gateways learn it before they need it. There is always one.
        case staged
        /// The one that signs.
        case active
        /// Signs no more, and is published until all that it signed has expired.
        case retiring
        /// Nothing that it signed is good any more.
        case retired
        /// Taken out at once, and everything that it signed with it.
        case compromised

        /// Whether gateways are to know the key.
        package var isPublished: Bool {
            switch self {
            case .staged, .active, .retiring: true
            case .retired, .compromised: false
            }
        }

        /// Whether a key in this state may go into that one.
        func mayBecome(_ next: State) -> Bool {
            switch (self, next) {
            case (.staged, .active), (.active, .retiring), (.retiring, .active), (.retiring, .retired): true
            case (.compromised, _): false
            case (_, .compromised): true
            default: false
            }
        }
    }

    /// The key's RFC 7638 thumbprint.
    package let keyID: ExactString
    package let algorithm: JWSAlgorithm
    package let state: State
    /// PKCS #8 under the master key: see `MasterKey`. Empty where the key is no longer published: nobody needs it then.
    package let sealed: [UInt8]
    /// Which master key sealed it.
    package let masterKeyID: ExactString
    package let created: Date
    /// When it last began to sign; nil before it ever did.
    package let activated: Date?
    /// When it stopped signing; nil while it signs, and where it never did.
    package let stopped: Date?
    /// When it was retired or compromised.
    package let ended: Date?

    package init(
        keyID: ExactString, algorithm: JWSAlgorithm, state: State, sealed: [UInt8], masterKeyID: ExactString,
        created: Date, activated: Date? = nil, stopped: Date? = nil, ended: Date? = nil
    ) {
        self.keyID = keyID
        self.algorithm = algorithm
        self.state = state
        self.sealed = sealed
        self.masterKeyID = masterKeyID
        self.created = created
        self.activated = activated
        self.stopped = stopped
        self.ended = ended
    }

    /// The same key in another state from `time` on.
    package func moved(to next: State, at time: Date) -> SigningKeyRecord {
        let stops = state == .active && next != .active
        return SigningKeyRecord(
            keyID: keyID, algorithm: algorithm, state: next, sealed: next.isPublished ? sealed : [],
            masterKeyID: masterKeyID, created: created, activated: next == .active ? time : activated,
            stopped: next == .active ? nil : stops ? time : stopped, ended: next.isPublished ? nil : time)
    }

    /// The key where a new generation of the store begins: retired, or as it was where it has ended before.
    package func outOfUse(at time: Date) -> SigningKeyRecord {
        state.isPublished ? moved(to: .retired, at: time) : self
    }
}
