import FoundationEssentials
import JOSE
import Logging

extension KeyRotation {
    /// How long to wait between two calls of `tick`.
    package var interval: Duration { revoked.isEmpty && !mustRead ? .seconds(60) : .seconds(2) }

    /// Does what is due: records revocations that are not yet durable, stages a key where there is none, retires keys
    /// whose tokens have all expired, and rotates. A rotation that was missed, as by a long stop, is made once.
    ///
    /// Keys are retired and rotated by the wall clock only while it is to be believed: see `ClockAgreement`.
    package func tick() async {
        do {
            try await takeTurn()
            defer { giveTurn() }
            // Read also where nothing else is due, so that its course is known.
            let reading = agreement.reading(of: clock)
            try await catchUp()
            try await stageIfMissing()
            if case .believed(let now) = reading {
                try await retireWhatIsOver(at: now)
                try await rotateIfDue(at: now)
            }
            recovered()
        } catch {
            note(error)
        }
        show()
    }

    private func retireWhatIsOver(at now: Date) async throws(KeyRotationFailure) {
        for record in records where record.state == .retiring {
            let stopped = record.stopped ?? now
            guard stopped.addingTimeInterval(Self.retirement.seconds) <= now else { continue }
            let change = KeyRingChange([.init(record.keyID, from: .retiring, to: .retired)], at: now)
            let trace = TraceID(at: now)
            try await apply(change, event(.keyRetired, change, by: nil, [:], trace))
            logger.notice("a signing key is retired", metadata: ["key": "\(record.keyID)", "trace": "\(trace)"])
        }
    }

    private func rotateIfDue(at now: Date) async throws(KeyRotationFailure) {
        guard let active = records.first(where: { $0.state == .active }),
            let staged = records.first(where: { $0.state == .staged })
        else { return }
        let activated = active.activated ?? active.created
        // One of the future was activated by a clock that was ahead, and nobody knows when.
        let isDue = activated.addingTimeInterval(configuration.rotateEvery.seconds) <= now || activated > now
        guard isDue, leadLeft(of: staged.keyID) == .zero else { return }
        _ = try await activate(staged, .keyRotated, force: false, by: nil, TraceID(at: now))
    }

    /// Notes a failure, and logs the first one of a row.
    func note(_ failure: KeyRotationFailure) {
        guard metrics.failed("\(failure)", at: clock.now) else { return }
        logger.error("the signing keys cannot be changed: it is tried again", metadata: ["failure": "\(failure)"])
    }

    private func recovered() {
        guard metrics.succeeded() else { return }
        logger.notice("the signing keys can be changed again")
    }
}
