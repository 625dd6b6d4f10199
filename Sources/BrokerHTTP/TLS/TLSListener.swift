// What stands between the public listener's socket and its HTTP: the handshake, and from a client's certificate to an
// identity. The server's own certificate is in ServerCertificate.swift, how handshakes end in HandshakeWatch.swift.
package import Broker
package import Logging
import NIOCore
import NIOSSL
import OpenSSL
package import SPIFFE

/// TLS in front of a listener.
package struct TLSListener: Sendable {
    /// Decides who a chain is, the DER of each certificate as sent, the leaf first. On the connection's event loop.
    package typealias ChainValidator = @Sendable ([[UInt8]]) -> Result<X509SVID, X509SVIDFailure>

    private let certificate: ServerCertificate
    private let validate: ChainValidator?
    private let metrics: TLSMetrics
    private let log: HandshakeLog

    /// - Parameter validate: nil where clients are not asked for a certificate.
    package init(
        _ certificate: ServerCertificate, validate: ChainValidator?, clock: any BrokerClock, metrics: TLSMetrics,
        logger: Logger
    ) {
        self.certificate = certificate
        self.validate = validate
        self.metrics = metrics
        log = HandshakeLog(logger: logger, clock: clock)
    }

    /// - Parameter validator: nil where clients are not asked for a certificate.
    package init(
        _ certificate: ServerCertificate, validator: X509SVIDValidator?, clock: any BrokerClock, metrics: TLSMetrics,
        logger: Logger
    ) {
        var validate: ChainValidator?
        if let validator {
            validate = { chain in
                do throws(X509SVIDFailure) {
                    return .success(try validator.validate(chain, at: clock.now))
                } catch {
                    return .failure(error)
                }
            }
        }
        self.init(certificate, validate: validate, clock: clock, metrics: metrics, logger: logger)
    }

    /// Puts TLS into the pipeline of a connection that was just accepted. On its event loop.
    /// - Returns: who the client turns out to be, as soon as the handshake is done.
    func secure(_ channel: any Channel) throws -> ConnectionIdentity {
        let identity = ConnectionIdentity()
        let context = try certificate.freshContext(requestingCertificate: validate != nil)
        let handler: NIOSSLServerHandler
        if let validate {
            handler = NIOSSLServerHandler(context: context) { certificates, promise in
                promise.succeed(Self.verify(certificates, validate, identity) ? .certificateVerified : .failed)
            }
        } else {
            handler = NIOSSLServerHandler(context: context)
        }
        try channel.pipeline.syncOperations.addHandlers(
            handler, HandshakeWatch(identity, metrics: metrics, log: log))
        return identity
    }

    private static func verify(
        _ certificates: [NIOSSLCertificate], _ validate: ChainValidator, _ identity: ConnectionIdentity
    ) -> Bool {
        let result: Result<X509SVID, X509SVIDFailure>
        var chain: [[UInt8]] = []
        if certificates.count > X509SVID.maximumChainLength {
            result = .failure(.tooManyCertificates)
        } else if let ders = try? certificates.map({ try $0.toDERBytes() }) {
            chain = ders
            result = validate(ders)
        } else {
            result = .failure(.certificate(0, .encoding))
        }
        identity.claim(chain, result)
        guard case .success = result else { return false }
        return true
    }
}
