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

/// A revocation that is kept.
package struct LiveRevocation: Sendable {
    package let revocation: Revocation
    /// Whether a restart keeps it.
    package let isDurable: Bool
}
