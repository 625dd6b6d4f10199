import Broker
import Glibc
import NIOSSL

/// What the files of a server certificate and its key hold.
struct CertificateFiles: Hashable, Sendable {
    /// In bytes, of each file.
    static let maximumSize = 64 * 1024
    static let maximumCertificates = 10

    let certificate: [UInt8]
    let key: [UInt8]

    /// - Throws: also where others than the owner and the group of the key's file have access to it, or the group may
    ///   write it: the key would be no secret then.
    init(reading tls: ListenerTLS) throws(ServerCertificateFailure) {
        certificate = try Self.read(tls.certificateFile, isSecret: false)
        key = try Self.read(tls.keyFile, isSecret: true)
    }

    /// The pair as BoringSSL takes it.
    /// - Throws: where the key is not that of the first certificate, among others.
    func pair(_ tls: ListenerTLS) throws(ServerCertificateFailure) -> (
        chain: [NIOSSLCertificate], key: NIOSSLPrivateKey
    ) {
        let chain: [NIOSSLCertificate]
        do {
            chain = try NIOSSLCertificate.fromPEMBytes(certificate)
        } catch {
            throw ServerCertificateFailure(tls.certificateFile, "it is not made of PEM certificates")
        }
        guard (1...Self.maximumCertificates).contains(chain.count) else {
            throw ServerCertificateFailure(
                tls.certificateFile, "expected 1 to \(Self.maximumCertificates) certificates")
        }
        let key: NIOSSLPrivateKey
        do {
            key = try NIOSSLPrivateKey(bytes: self.key, format: .pem)
        } catch {
            throw ServerCertificateFailure(tls.keyFile, "it is not a private key in PEM without a password")
        }
        return (chain, key)
    }

    private static func read(_ path: String, isSecret: Bool) throws(ServerCertificateFailure) -> [UInt8] {
        // Without waiting, so that a named pipe in the place of a file hangs nobody.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else { throw ServerCertificateFailure(path, String(cString: strerror(errno))) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw ServerCertificateFailure(path, "it is not a regular file")
        }
        guard !isSecret || status.st_mode & 0o037 == 0 else {
            throw ServerCertificateFailure(
                path, "others than its owner have access to it; chmod 600 it, or 640 for a group that may read it")
        }
        guard let bytes = FileContents.read(descriptor, limit: maximumSize) else {
            throw ServerCertificateFailure(path, String(cString: strerror(errno)))
        }
        guard bytes.count <= maximumSize else { throw ServerCertificateFailure(path, "it is too large") }
        return bytes
    }
}

/// Why the files of a server certificate cannot be used. Nothing of their content is in it.
package struct ServerCertificateFailure: Error, Sendable, Hashable, CustomStringConvertible {
    package let description: String

    init(_ path: String, _ reason: String) {
        description = "\(path): \(reason)"
    }
}
