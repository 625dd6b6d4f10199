import Broker
import FoundationEssentials
import HTTPTypes
import SPIFFE

/// Which certificate a request comes with, if any.
///
/// A connection's own certificate is that of whoever sends the request, unless its peer is a trusted proxy: that one speaks
/// for others, so its certificate is nobody's identity and binds nothing. In its place counts what it forwards in the header
/// that is configured, for binding alone, and only where it authenticated by a certificate itself, as one of the SPIFFE IDs
/// that are configured for this: an address can be that of other workloads, too.
struct PresentedCertificates: Sendable {
    private let proxies: TrustedProxies
    private let forwarding: ListenerTLS.CertificateForwarding?
    private let certificates: X509SVIDAuthenticator
    private let clock: any BrokerClock

    /// - Parameter forwarding: which proxies forward, and how; nil believes none.
    init(
        proxies: TrustedProxies, forwarding: ListenerTLS.CertificateForwarding?,
        certificates: X509SVIDAuthenticator, clock: any BrokerClock
    ) {
        self.proxies = proxies
        self.forwarding = forwarding
        self.certificates = certificates
        self.clock = clock
    }

    /// Whether it is still good is asked where it is used.
    func certificate(of context: BrokerRequestContext, _ headers: HTTPFields) -> PresentedCertificate? {
        certificate(of: context.connection, headers)
    }

    private func certificate(of connection: ConnectionPeer, _ headers: HTTPFields) -> PresentedCertificate? {
        guard let peer = connection.identity else { return nil }
        guard proxies.trusts(connection.address) else { return .connection(peer) }
        guard let forwarding, forwarding.proxies.contains(where: { $0.matches(peer.id.text) }),
            let fingerprint = ForwardedCertificate.fingerprint(headers, in: forwarding.header)
        else { return nil }
        return .forwarded(fingerprint, by: peer)
    }

    /// The same, where it is good now.
    func fingerprint(of context: BrokerRequestContext, _ headers: HTTPFields) -> CertificateFingerprint? {
        fingerprint(of: context.connection, headers, at: clock.now)
    }

    /// The same, where it is good at the moment `now`.
    func fingerprint(
        of connection: ConnectionPeer, _ headers: HTTPFields, at now: Date
    ) -> CertificateFingerprint? {
        guard let certificate = certificate(of: connection, headers) else { return nil }
        return certificates.fingerprint(of: certificate, at: now)
    }

    /// Whether the connection's own certificate has expired. Its client has a newer one by now, or will, and can show that
    /// on another connection alone: one that it keeps in use would stay without an identity for good.
    func isExpired(_ context: BrokerRequestContext) -> Bool {
        isExpired(context.connection, at: clock.now)
    }

    /// The same at the moment `now`.
    func isExpired(_ connection: ConnectionPeer, at now: Date) -> Bool {
        connection.identity.map { $0.expiry <= now } ?? false
    }
}

extension ForwardedCertificate {
    /// What one header says, where it is there once. The other one counts for nothing: the proxy does not take it away, so
    /// that it is the client's.
    static func fingerprint(
        _ headers: HTTPFields, in header: ListenerTLS.CertificateHeader
    ) -> CertificateFingerprint? {
        let name: HTTPField.Name =
            switch header {
            case .clientCert: .clientCert
            case .forwardedClientCert: .forwardedClientCert
            }
        let values = headers[values: name]
        guard values.count == 1 else { return nil }
        let bytes = Array(values[0].utf8)
        return switch header {
        case .clientCert: fingerprint(clientCert: bytes)
        case .forwardedClientCert: fingerprint(forwardedClientCert: bytes)
        }
    }
}
