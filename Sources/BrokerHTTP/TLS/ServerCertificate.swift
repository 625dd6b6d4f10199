package import Broker
import FoundationEssentials
package import Logging
import NIOCore
import NIOSSL
import Synchronization

/// The certificate of the public listener and its key, as its files hold them; when these change, connections from then on
/// get the new pair, and open ones keep what they have. A pair that cannot be used changes nothing.
package final class ServerCertificate: Sendable {
    private let tls: ListenerTLS
    private let clock: any BrokerClock
    private let metrics: TLSMetrics
    private let logger: Logger
    private let state: Mutex<State>

    private struct State {
        var files: CertificateFiles
        var configuration: TLSConfiguration
        /// What the last look found wrong.
        var failure: ServerCertificateFailure?
        var isReported = false
    }

    /// - Throws: where the files cannot be used.
    package init(
        _ tls: ListenerTLS, clock: any BrokerClock, metrics: TLSMetrics, logger: Logger
    ) throws(ServerCertificateFailure) {
        (self.tls, self.clock, self.metrics, self.logger) = (tls, clock, metrics, logger)
        let files = try CertificateFiles(reading: tls)
        let configuration = try Self.configuration(tls, files)
        state = Mutex(State(files: files, configuration: configuration))
        metrics.loaded(expiry: configuration.expiry)
        warnOfExpiry(configuration.expiry)
    }

    /// What a connection is to be made with: **one each**, since a context resumes the sessions that it handed out, and a
    /// resumed one shows the certificate of then without asking anybody. Reads no files; takes some microseconds.
    /// - Parameter requests: whether the client is asked for a certificate: somebody has to look at it then.
    func freshContext(requestingCertificate requests: Bool) throws -> NIOSSLContext {
        var configuration = state.withLock { $0.configuration }
        configuration.certificateVerification = requests ? .optionalVerification : .none
        return try NIOSSLContext(configuration: configuration)
    }

    /// Looks at the files. Blocks while it reads them; one at a time.
    ///
    /// What cannot be used is reported when a second look finds the same: two files cannot change at once.
    package func look() {
        do throws(ServerCertificateFailure) {
            let files = try CertificateFiles(reading: tls)
            guard state.withLock({ $0.files }) != files else { return matches() }
            let configuration = try Self.configuration(tls, files)
            state.withLock { $0 = State(files: files, configuration: configuration) }
            metrics.loaded(expiry: configuration.expiry)
            logger.notice(
                "the server certificate was read again",
                metadata: ["file": "\(tls.certificateFile)", "expires": "\(configuration.expiry.formatted(.iso8601))"])
            warnOfExpiry(configuration.expiry)
        } catch {
            failed(error)
        }
    }

    private func matches() {
        let wasReported = state.withLock { state in
            defer { (state.failure, state.isReported) = (nil, false) }
            return state.isReported
        }
        guard wasReported else { return }
        metrics.matches()
        logger.notice("the files of the server certificate hold the one in use again")
    }

    private func failed(_ failure: ServerCertificateFailure) {
        let isNew = state.withLock { state in
            guard state.failure == failure else {
                (state.failure, state.isReported) = (failure, false)
                return false
            }
            defer { state.isReported = true }
            return !state.isReported
        }
        guard isNew else { return }
        metrics.loadFailed(Outage(since: clock.now, cause: failure.description))
        logger.error(
            "the changed server certificate cannot be used; the one before it stays",
            metadata: ["failure": "\(failure)"])
    }

    private func warnOfExpiry(_ expiry: Date) {
        guard expiry <= clock.now else { return }
        logger.warning("the server certificate has expired: clients will refuse it")
    }

    private static func configuration(
        _ tls: ListenerTLS, _ files: CertificateFiles
    ) throws(ServerCertificateFailure) -> TLSConfiguration {
        let (chain, key) = try files.pair(tls)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = tls.minimumVersion == .tls13 ? .tlsv13 : .tlsv12
        // Of TLS 1.2; 1.3 has no others.
        configuration.cipherSuites = "ECDHE+AESGCM:ECDHE+CHACHA20"
        configuration.verifySignatureAlgorithms = SignatureAlgorithm.ofSVIDs
        configuration.applicationProtocols = ["http/1.1"]
        // Nobody is trusted by BoringSSL itself: our own callback decides.
        configuration.trustRoots = .certificates([])
        // How long a peer has to answer that it heard of the end.
        configuration.shutdownTimeout = .seconds(1)
        do {
            // Fails where key and certificate do not belong together.
            _ = try NIOSSLContext(configuration: configuration)
        } catch {
            throw ServerCertificateFailure(
                tls.keyFile, "it is not the key of the first certificate in \(tls.certificateFile)")
        }
        return configuration
    }
}

extension TLSConfiguration {
    /// Of the server's own certificate, or of an earlier one that signed it.
    fileprivate var expiry: Date {
        let ends = certificateChain.compactMap { source -> Double? in
            guard case .certificate(let certificate) = source else { return nil }
            return Double(certificate.notValidAfter)
        }
        return Date(timeIntervalSince1970: ends.min() ?? 0)
    }
}
