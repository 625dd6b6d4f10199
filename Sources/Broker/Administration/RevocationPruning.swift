package import Logging

/// Takes out the revocations that match nothing any more, while the wall clock is to be believed.
package struct RevocationPruning: Sendable {
    private let revocations: Revocations
    private let clock: any BrokerClock
    private let logger: Logger
    private var agreement: ClockAgreement

    package init(_ revocations: Revocations, agreement: ClockAgreement, clock: any BrokerClock, logger: Logger) {
        self.revocations = revocations
        self.clock = clock
        self.logger = logger
        self.agreement = agreement
    }

    package mutating func round() async {
        guard case .believed(let now) = agreement.reading(of: clock) else { return }
        do {
            try await revocations.prune(at: now)
        } catch {
            // The store says by itself that it does not work; the next round tries again.
            logger.warning("could not delete revocations", metadata: ["failure": "\(error)"])
        }
    }
}
