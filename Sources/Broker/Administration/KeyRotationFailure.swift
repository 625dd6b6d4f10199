package import JOSE

/// Why the signing keys were not changed as asked.
package enum KeyRotationFailure: Error, Sendable, CustomStringConvertible {
    case unknown(ExactString)
    /// A retired or compromised key does not come back.
    case over(ExactString, SigningKeyRecord.State)
    /// The staged key has to be published for so long still.
    case tooEarly(ExactString, Duration)
    /// So many keys are published already.
    case tooMany(Int)
    /// Too many changes wait.
    case busy
    case store(StoreFailure)
    case keys(KeyRingFailure)

    package var description: String {
        switch self {
        case .unknown(let keyID): "there is no signing key \(keyID)"
        case .over(let keyID, let state): "signing key \(keyID) is \(state.rawValue), and stays it"
        case .tooEarly(let keyID, let left):
            "gateways may not know the staged signing key \(keyID) yet: it has to be published for "
                + "\(Int(left.seconds.rounded(.up))) more seconds, unless it is forced"
        case .tooMany(let count):
            "\(count) signing keys are published: wait until the oldest has retired, or revoke keys that are retiring"
        case .busy: "too many changes of the signing keys wait already"
        case .store(let failure): "\(failure)"
        case .keys(let failure): "\(failure)"
        }
    }
}

/// What a rotation did.
package struct KeyRotated: Sendable, Hashable {
    /// The key that signed before.
    package let before: ExactString
    package let active: ExactString
    package let staged: ExactString?

    package init(before: ExactString, active: ExactString, staged: ExactString?) {
        self.before = before
        self.active = active
        self.staged = staged
    }
}

/// What a revocation did. The key is out in any case.
package struct KeyRevoked: Sendable, Hashable {
    package let keyID: ExactString
    /// Whether it would be out after a crash as well.
    package let isDurable: Bool

    package init(keyID: ExactString, isDurable: Bool) {
        self.keyID = keyID
        self.isDurable = isDurable
    }
}
