import Broker
import HTTPTypes
import SPIFFE

/// Which certificate a request comes with, if any.
///
/// A connection's own certificate is that of whoever sends the request, unless its peer is a trusted proxy: that one speaks
/// for others, so its certificate is nobody's identity and binds nothing. In its place counts what it forwards, for binding
/// alone, and only where it authenticated by a certificate itself.
struct PresentedCertificates: Sendable {
    private let proxies: TrustedProxies
    private let certificates: X509SVIDAuthenticator
    private let clock: any BrokerClock

    init(proxies: TrustedProxies, certificates: X509SVIDAuthenticator, clock: any BrokerClock) {
        self.proxies = proxies
        self.certificates = certificates
        self.clock = clock
    }

    /// Whether it is still good is asked where it is used.
    func certificate(of context: BrokerRequestContext, _ headers: HTTPFields) -> PresentedCertificate? {
        guard let peer = context.peerIdentity else { return nil }
        guard proxies.trusts(context.peer) else { return .connection(peer) }
        return ForwardedCertificate.fingerprint(headers).map { .forwarded($0, by: peer) }
    }

    /// The same, where it is good now.
    func fingerprint(of context: BrokerRequestContext, _ headers: HTTPFields) -> CertificateFingerprint? {
        certificates.fingerprint(of: certificate(of: context, headers), at: clock.now)
    }

    /// Whether the connection's own certificate has expired. Its client has a newer one by now, or will, and can show that
    /// on another connection alone: one that it keeps in use would stay without an identity for good.
    func isExpired(_ context: BrokerRequestContext) -> Bool {
        context.peerIdentity.map { $0.expiry <= clock.now } ?? false
    }
}

extension ForwardedCertificate {
    /// What both headers say, where they are there once each and agree.
    static func fingerprint(_ headers: HTTPFields) -> CertificateFingerprint? {
        let (standard, envoy) = (headers[values: .clientCert], headers[values: .forwardedClientCert])
        guard standard.count <= 1, envoy.count <= 1 else { return nil }
        var fingerprints: [CertificateFingerprint?] = []
        if let value = standard.first { fingerprints.append(fingerprint(clientCert: Array(value.utf8))) }
        if let value = envoy.first { fingerprints.append(fingerprint(forwardedClientCert: Array(value.utf8))) }
        guard let first = fingerprints.first, fingerprints.allSatisfy({ $0 == first }) else { return nil }
        return first
    }
}
