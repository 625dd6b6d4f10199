import Broker
import Logging
import Synchronization

/// Log lines about handshakes that failed: at most ten a second, since anybody can cause them; the others are counted, and
/// the count goes out with the next line.
final class HandshakeLog: Sendable {
    private static let linesPerSecond = 10

    private let logger: Logger
    private let clock: any BrokerClock
    private let state = Mutex(State())

    private struct State {
        var second = Int64.min
        var lines = 0
        var omitted = 0
    }

    init(logger: Logger, clock: any BrokerClock) {
        self.logger = logger
        self.clock = clock
    }

    /// - Parameter reason: words of ours or of the TLS library, or a SPIFFE ID; nothing else of what the client sent.
    func note(_ event: Logger.Message, reason: @autoclosure () -> String, _ client: ClientAddress) {
        let second = clock.uptime.components.seconds
        let omitted = state.withLock { state -> Int? in
            if state.second != second { (state.second, state.lines) = (second, 0) }
            guard state.lines < Self.linesPerSecond else {
                state.omitted += 1
                return nil
            }
            state.lines += 1
            defer { state.omitted = 0 }
            return state.omitted
        }
        guard let omitted else { return }
        logger.info(
            event, metadata: ["reason": "\(reason())", "client": "\(client)", "omitted": "\(omitted)"])
    }
}
