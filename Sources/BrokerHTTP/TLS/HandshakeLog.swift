import Broker
import Logging

/// Log lines about handshakes that failed: at most ten a second, since anybody can cause them; the others are counted, and
/// the count goes out with the next line.
final class HandshakeLog: Sendable {
    private let logger: Logger
    private let clock: any BrokerClock
    private let lines = LineLimit(perSecond: 10)

    init(logger: Logger, clock: any BrokerClock) {
        self.logger = logger
        self.clock = clock
    }

    /// - Parameter reason: words of ours or of the TLS library, or a SPIFFE ID; nothing else of what the client sent.
    func note(_ event: Logger.Message, reason: @autoclosure () -> String, _ client: ClientAddress) {
        guard let omitted = lines.admit(at: clock.uptime) else { return }
        logger.info(
            event, metadata: ["reason": "\(reason())", "client": "\(client)", "omitted": "\(omitted)"])
    }
}
