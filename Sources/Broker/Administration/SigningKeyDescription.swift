package import FoundationEssentials
package import JOSE

/// A signing key as an administrator sees it: nothing of it is secret.
package struct SigningKeyDescription: Sendable, Hashable {
    package let keyID: ExactString
    package let algorithm: JWSAlgorithm
    package let state: SigningKeyRecord.State
    package let created: Date
    /// When it last began to sign.
    package let activated: Date?
    package let stopped: Date?
    /// When it was retired or compromised.
    package let ended: Date?
    /// Since when it is in this state.
    package let since: Date
    /// When a retiring key is retired at the earliest.
    package let retires: Date?
    /// For how long a staged key has to be published still before it may sign; nil for others.
    package let publishLeadLeft: Duration?

    /// - Parameter isRevoked: whether it is taken out although the record does not say so yet.
    init(_ record: SigningKeyRecord, isRevoked: Bool, publishLeadLeft: Duration?) {
        keyID = record.keyID
        algorithm = record.algorithm
        state = isRevoked ? .compromised : record.state
        created = record.created
        activated = record.activated
        stopped = record.stopped
        ended = record.ended
        since =
            switch record.state {
            case .staged: record.created
            case .active: record.activated ?? record.created
            case .retiring: record.stopped ?? record.created
            case .retired, .compromised: record.ended ?? record.created
            }
        retires =
            state == .retiring
            ? record.stopped?.addingTimeInterval(KeyRotation.retirement.seconds) : nil
        self.publishLeadLeft = isRevoked ? nil : publishLeadLeft
    }
}
