/// What became of revoking: all of it is in force.
package struct RevocationOutcome: Sendable {
    /// Empty where a condition named no session.
    package let revocations: [Revocation]
    /// Whether a restart keeps it. Otherwise it is tried again in the background.
    package let isDurable: Bool

    package var revocation: Revocation? { revocations.first }
}

/// Why nothing was revoked.
package enum RevocationRefusal: Error, Sendable, CustomStringConvertible {
    /// As many are in force, or wait to become durable, as may.
    case full
    case tooManySessions
    case unacceptable(RevocationRequest.Unacceptable)
    case store(StoreFailure)

    package var description: String {
        switch self {
        case .full: "as many revocations are in force, or wait to become durable, as may"
        case .tooManySessions:
            "more than \(Revocations.maximumSessions) sessions fulfil the condition: revoke a rule "
                + "or an issuer, or name them more closely"
        case .unacceptable(let failure): failure.description
        case .store(let failure): failure.description
        }
    }
}

/// A block that was lifted.
package struct LiftedBlock: Sendable {
    /// The longest that there was.
    package let block: Revocation.Block
    /// Of the revocations that blocked, by ascending number.
    package let sequences: [UInt64]
}

/// Why no block was lifted.
package enum BlockLiftRefusal: Error, Sendable, CustomStringConvertible {
    case notBlocked(Revocation.Target)
    /// A block of it waits to become durable: lifted before it, it would come back.
    case notDurable(Revocation.Target)
    case store(StoreFailure)

    package var description: String {
        switch self {
        case .notBlocked(let target): "\(target) is not blocked"
        case .notDurable(let target): "a block of \(target) is not recorded yet: nothing was lifted"
        case .store(let failure): failure.description
        }
    }
}

/// A revocation that is kept.
package struct LiveRevocation: Sendable {
    package let revocation: Revocation
    /// Whether a restart keeps it.
    package let isDurable: Bool
}
