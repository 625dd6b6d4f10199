import Foundation
import NIOSSL
import OpenSSL

/// A SPIFFE trust domain for the demonstration: a root, an intermediate below it, and what that one signs. Its keys are in
/// memory, but for the server's, and nobody signs anything with them afterwards.
struct DemoTrustDomain: Sendable {
    static let name = "prod.demo"
    static let workload = "spiffe://\(name)/ns/ml/sa/batch-scorer"

    private let name: String
    private let root: IssuedCertificate
    private let intermediate: IssuedCertificate
    private let validity: Range<Date>

    init(_ name: String = Self.name) throws {
        self.name = name
        let now = Date(timeIntervalSince1970: Date().timeIntervalSince1970.rounded(.down))
        // A minute back: clocks do not agree to the second.
        validity = now.addingTimeInterval(-60)..<now.addingTimeInterval(3600)
        root = try IssuedCertificate(
            .authority, "root of \(name)", names: [.uri("spiffe://\(name)")], signedBy: nil, validity: validity)
        intermediate = try IssuedCertificate(
            .authority, "intermediate of \(name)", names: [], signedBy: root, validity: validity)
    }

    /// Writes the trust bundle, and the certificate of the server on this machine with its key (0600).
    func write(in folder: URL) throws {
        let server = try IssuedCertificate(
            .endEntity, "localhost", names: [.dns("localhost"), .ip([127, 0, 0, 1])], signedBy: intermediate,
            validity: validity)
        try Data(root.certificatePEM.utf8).write(to: folder.appending(path: "bundle.pem"))
        try Data((server.certificatePEM + intermediate.certificatePEM).utf8)
            .write(to: folder.appending(path: "server.pem"))
        let key = folder.appending(path: "server.key").path(percentEncoded: false)
        let isWritten = FileManager.default.createFile(
            atPath: key, contents: Data(try server.keyPEM.utf8), attributes: [.posixPermissions: 0o600])
        guard isWritten else { throw CommandFailure("\(key) cannot be written") }
    }

    /// How a client without a certificate trusts the server.
    func client() throws -> TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.trustRoots = .certificates([try Self.certificate(root)])
        return configuration
    }

    /// The same as the workload of that SPIFFE ID, with an X509-SVID that this trust domain signs.
    /// - Parameter server: the trust domain of the server.
    func client(as id: String, of server: DemoTrustDomain) throws -> TLSConfiguration {
        let svid = try IssuedCertificate(
            .endEntity, "workload", names: [.uri(id)], signedBy: intermediate, validity: validity)
        let key = try svid.key.pkcs8().withSpan { span in
            try NIOSSLPrivateKey(bytes: span.withUnsafeBufferPointer { Array($0) }, format: .der)
        }
        var configuration = try server.client()
        configuration.certificateChain = try [svid, intermediate].map { .certificate(try Self.certificate($0)) }
        configuration.privateKey = .privateKey(key)
        return configuration
    }

    private static func certificate(_ issued: IssuedCertificate) throws -> NIOSSLCertificate {
        try NIOSSLCertificate(bytes: issued.certificate.der, format: .der)
    }
}
