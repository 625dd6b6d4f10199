import Broker
import Logging

/// Log lines about handshakes that failed: at most ten a second of each kind, since anybody can cause them; the others are
/// counted, and the count goes out with the next line of the kind.
final class HandshakeLog: Sendable {
    private let logger: Logger
    private let clock: any BrokerClock
    /// Apart, so that garbage hides no certificate that was refused.
    private let refused = LineLimit(perSecond: 10)
    private let others = LineLimit(perSecond: 10)

    /// The raw value is the line's message.
    enum Event: String {
        case refusedCertificate = "client certificate refused"
        case failed = "TLS handshake failed"
    }

    init(logger: Logger, clock: any BrokerClock) {
        self.logger = logger
        self.clock = clock
    }

    /// - Parameter reason: words of ours or of the TLS library, or a SPIFFE ID; nothing else of what the client sent.
    func note(_ event: Event, reason: @autoclosure () -> String, _ client: ClientAddress) {
        let lines = event == .refusedCertificate ? refused : others
        guard let omitted = lines.admit(at: clock.uptime) else { return }
        logger.info(
            "\(event.rawValue)", metadata: ["reason": "\(reason())", "client": "\(client)", "omitted": "\(omitted)"])
    }
}
