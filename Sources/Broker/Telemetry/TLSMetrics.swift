package import FoundationEssentials
import Synchronization

/// Handshakes of the public listener, and how its own certificate does. Callable from any thread; nothing here waits.
package final class TLSMetrics: MetricSource {
    /// How a handshake ended.
    package enum Handshake: Int, MetricLabel {
        /// With a client certificate that proved an identity.
        case certificate
        /// Without a client certificate, which gives no identity.
        case noCertificate
        /// With a client certificate that proves none.
        case refusedCertificate
        /// By anything else that one side did not accept from the other.
        case failed
        /// Because the client went away.
        case closed
        case tooSlow
    }

    /// The server's own certificate, and whether it could be read again after its files changed.
    package struct Certificate: Sendable, Hashable {
        /// The first moment at which the certificate in use is not valid any more.
        package var expiry: Date
        /// Why what the files hold now is not used; nil while it is.
        package var failure: Outage?

        package init(expiry: Date, failure: Outage? = nil) {
            self.expiry = expiry
            self.failure = failure
        }
    }

    private let handshakes = Counter<Handshake>(
        "daypass_tls_handshakes_total", by: "outcome", "TLS handshakes of the public listener.")
    private let loads = Counter<Load>(
        "daypass_tls_certificate_loads_total", by: "outcome", "Times that a changed server certificate was read.")
    private let state = Mutex<Certificate?>(nil)

    private enum Load: Int, MetricLabel {
        case success, failure
    }

    package init() {}

    package func ended(_ handshake: Handshake) {
        handshakes.count(handshake)
    }

    /// A certificate is in use.
    package func loaded(expiry: Date) {
        loads.count(.success)
        state.withLock { $0 = Certificate(expiry: expiry) }
    }

    /// What the files hold now cannot be used, for another reason than before.
    package func loadFailed(_ failure: Outage) {
        loads.count(.failure)
        state.withLock { $0?.failure = failure }
    }

    /// The files hold what is in use.
    package func matches() {
        state.withLock { $0?.failure = nil }
    }

    /// Nil before one was loaded.
    package var certificate: Certificate? { state.withLock { $0 } }

    package func write(to text: inout MetricText) {
        handshakes.write(to: &text)
        loads.write(to: &text)
        let certificate = certificate
        text.family(
            "daypass_tls_certificate_expiry_timestamp_seconds", .gauge, "When the server's certificate expires.")
        if let certificate { text.sample(certificate.expiry.timeIntervalSince1970) }
        text.family(
            "daypass_tls_certificate_current", .gauge,
            "1 while the certificate in use is the one that its files hold, 0 while those cannot be used.")
        if let certificate { text.sample(certificate.failure == nil ? 1.0 : 0) }
    }
}
