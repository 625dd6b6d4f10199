/// How a listener speaks TLS.
package struct ListenerTLS: Sendable, Hashable {
    package enum Version: Sendable, Hashable {
        case tls12, tls13
    }

    /// The header in which trusted proxies say which certificate their client has. A proxy takes away what clients write
    /// into its own header, and lets the other one through: so one alone can count, and configuration says which.
    package enum CertificateHeader: String, Sendable, Hashable, CaseIterable {
        /// RFC 9440 §2.2.
        case clientCert = "client-cert"
        /// Envoy's.
        case forwardedClientCert = "x-forwarded-client-cert"
    }

    /// Which proxies are believed about the certificates of their clients.
    package struct CertificateForwarding: Sendable, Hashable {
        package var header: CertificateHeader
        /// One of them has to match the proxy's own SPIFFE ID; an address in `trusted_proxies` it needs besides.
        package var proxies: [Glob]

        package init(header: CertificateHeader, proxies: [Glob]) {
            self.header = header
            self.proxies = proxies
        }
    }

    /// The absolute path of a PEM file: the server's own certificate first, then those that signed it, without the root.
    package var certificateFile: String
    /// The absolute path of a PEM file: the private key, not encrypted.
    package var keyFile: String
    /// Whether clients are asked for a certificate. One that is sent has to prove an identity, or the handshake fails; a
    /// client that sends none has none.
    package var requestsClientCertificates: Bool
    /// Nil where no proxy is believed.
    package var forwardedCertificates: CertificateForwarding?
    package var minimumVersion: Version

    package init(
        certificateFile: String, keyFile: String, requestsClientCertificates: Bool = true,
        forwardedCertificates: CertificateForwarding? = nil, minimumVersion: Version = .tls13
    ) {
        self.certificateFile = certificateFile
        self.keyFile = keyFile
        self.requestsClientCertificates = requestsClientCertificates
        self.forwardedCertificates = forwardedCertificates
        self.minimumVersion = minimumVersion
    }
}
