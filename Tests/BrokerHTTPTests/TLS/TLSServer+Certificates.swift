import Foundation
import SPIFFE
import Testing

/// More certificates, of the command `openssl`, in the server's folder: NAME.pem and NAME.key.
extension TLSServer {
    /// - Parameter kind: what `-newkey` takes, with its options.
    func makeAuthority(_ kind: String, _ name: String, _ id: String) async throws {
        try await command(
            "req -x509 -newkey \(kind) -nodes -keyout \(name).key -out \(name).pem -days 2 -subj /O=SPIFFE"
                + " -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign"
                + " -addext subjectAltName=URI:spiffe://other.example.org")
    }

    func makeLeaf(
        _ name: String, signedBy authority: String, _ kind: String, _ names: String, usage: String = "digitalSignature",
        days: String = "1"
    ) async throws {
        let extensions = """
            basicConstraints=critical,CA:FALSE
            keyUsage=critical,\(usage)
            extendedKeyUsage=serverAuth,clientAuth
            subjectAltName=\(names)
            authorityKeyIdentifier=keyid
            """
        try Data(extensions.utf8).write(to: folder.appending(path: "\(name).ext"))
        try await command("req -newkey \(kind) -nodes -keyout \(name).key -out \(name).csr -subj /O=SPIRE")
        try await command(
            "x509 -req -in \(name).csr -CA \(authority).pem -CAkey \(authority).key -CAcreateserial -days \(days)"
                + " -extfile \(name).ext -out \(name).pem")
    }

    /// A bundle with this authority beside those that are there.
    func trust(_ authority: String, _ domain: String) throws {
        let bundle = try TrustBundle(
            pem: [UInt8](Data(contentsOf: folder.appending(path: "\(authority).pem"))),
            of: TrustDomain(parsing: domain))
        bundles.value = bundles.value.replacing(bundle)
    }

    private func command(_ arguments: String) async throws {
        let made = try await Command.run(
            ["openssl"] + arguments.split(separator: " ").map(String.init), in: folder)
        try #require(made.status == 0, "openssl \(arguments): \(made.output)")
    }
}
