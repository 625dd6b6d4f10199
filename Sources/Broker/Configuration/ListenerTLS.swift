/// How a listener speaks TLS.
package struct ListenerTLS: Sendable, Hashable {
    package enum Version: Sendable, Hashable {
        case tls12, tls13
    }

    /// The absolute path of a PEM file: the server's own certificate first, then those that signed it, without the root.
    package var certificateFile: String
    /// The absolute path of a PEM file: the private key, not encrypted.
    package var keyFile: String
    /// Whether clients are asked for a certificate. One that is sent has to prove an identity, or the handshake fails; a
    /// client that sends none has none.
    package var requestsClientCertificates: Bool
    package var minimumVersion: Version

    package init(
        certificateFile: String, keyFile: String, requestsClientCertificates: Bool = true,
        minimumVersion: Version = .tls13
    ) {
        self.certificateFile = certificateFile
        self.keyFile = keyFile
        self.requestsClientCertificates = requestsClientCertificates
        self.minimumVersion = minimumVersion
    }
}
