// What stands between the public listener's socket and its HTTP: the handshake, and from a client's certificate to an
// identity. The server's own certificate is in ServerCertificate.swift, how handshakes end in HandshakeWatch.swift.
package import Broker
package import Logging
import NIOCore
import NIOSSL
package import SPIFFE

/// TLS in front of a listener.
package struct TLSListener: Sendable {
    private let certificate: ServerCertificate
    private let validator: X509SVIDValidator?
    private let asksNow: @Sendable () -> Bool
    private let clock: any BrokerClock
    private let metrics: TLSMetrics
    private let log: HandshakeLog
    /// How long a handshake may take.
    var handshakeLimit = HandshakeWatch.limit

    /// - Parameters:
    ///   - validator: nil where clients are never asked for a certificate.
    ///   - asksNow: whether a connection that is just accepted is asked for one; on its event loop.
    package init(
        _ certificate: ServerCertificate, validator: X509SVIDValidator?,
        asksNow: @escaping @Sendable () -> Bool = { true }, clock: any BrokerClock, metrics: TLSMetrics, logger: Logger
    ) {
        self.certificate = certificate
        self.validator = validator
        self.asksNow = asksNow
        self.clock = clock
        self.metrics = metrics
        log = HandshakeLog(logger: logger, clock: clock)
    }

    /// Puts TLS into the pipeline of a connection that was just accepted. On its event loop.
    /// - Returns: who the client turns out to be, as soon as the handshake is done.
    func secure(_ channel: any Channel) throws -> ConnectionIdentity {
        let identity = ConnectionIdentity()
        let validator = asksNow() ? validator : nil
        let context = try certificate.freshContext(requestingCertificate: validator != nil)
        let handler: NIOSSLServerHandler
        if let validator {
            handler = NIOSSLServerHandler(context: context) { [clock] certificates, promise in
                let isGood = identity.claim(certificates) { chain throws(X509SVIDFailure) in
                    try validator.validate(chain, at: clock.now)
                }
                promise.succeed(isGood ? .certificateVerified : .failed)
            }
        } else {
            handler = NIOSSLServerHandler(context: context)
        }
        try channel.pipeline.syncOperations.addHandlers(
            handler, HandshakeWatch(identity, metrics: metrics, log: log, limit: handshakeLimit))
        return identity
    }
}
