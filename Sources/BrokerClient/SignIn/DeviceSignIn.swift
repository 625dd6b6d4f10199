/// A broker, as a device that waits to be signed in sees it.
package protocol DeviceEndpoint: Sendable {
    /// - Throws: what does not change by asking again: it was denied, has expired, or is refused.
    func poll(_ code: TokenText, within time: Duration) async throws(TokenFailure) -> DevicePoll
}

/// Waits until a person has approved a device (RFC 8628 §3.4), as slowly as the broker wants it.
package struct DeviceSignIn: Sendable {
    private static let longestAnswer: Duration = .seconds(10)
    /// Between two questions to a broker that does not answer.
    private static let longestPause: Duration = .seconds(60)

    private let broker: any DeviceEndpoint
    private let clock: any TokenClock

    package init(_ broker: any DeviceEndpoint, clock: any TokenClock = SystemTokenClock()) {
        (self.broker, self.clock) = (broker, clock)
    }

    /// Suspends for as long as the code lasts at most.
    package func granted(_ asked: DeviceAuthorization) async throws(TokenFailure) -> GrantedSignIn {
        let end = clock.uptime + asked.lifetime
        var interval = asked.interval
        var pause = interval
        var failure: TokenFailure?
        while clock.uptime + pause < end {
            await clock.wait(pause)
            let poll = try await broker.poll(asked.code, within: Self.longestAnswer)
            failure = nil
            switch poll {
            case .granted(let granted): return granted
            case .pending: pause = interval
            case .slowDown:
                interval += .seconds(5)
                pause = interval
            case .unanswered(let why, let wanted):
                failure = why
                pause = max(min(pause * 2, max(Self.longestPause, interval)), wanted)
            }
        }
        throw failure ?? .signedOut("nobody has approved in time: `daypass login` makes another code")
    }
}
