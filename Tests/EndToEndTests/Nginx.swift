import BrokerTesting
import Foundation
import OpenSSL
import Testing

/// nginx on loopback, serving one file over TLS with a certificate of an authority of the test's own.
final class Nginx: Sendable {
    let process: RunningProcess
    let origin: String
    private let workspace: Workspace

    /// Serves `served/` of the workspace, whose `web-ca.pem` is the authority then. It has to be called before `daypassd`
    /// reads that.
    /// - Parameter port: of 127.0.0.1.
    init(_ program: String, _ workspace: Workspace, port: Int) async throws {
        self.workspace = workspace
        origin = "https://localhost:\(port)"
        try workspace.write("nginx/nginx.conf", Self.configuration(port: port))
        let path = workspace.path("nginx")
        process = try RunningProcess(
            program, ["-p", path, "-c", "\(path)/nginx.conf", "-e", "\(path)/error.log"])
        try await waitUntil("nginx listens", within: 30) { [process] in
            let log = (try? String(contentsOfFile: "\(path)/error.log", encoding: .utf8)) ?? ""
            try #require(process.isRunning, "\(process.error)\(log)")
            return FileManager.default.fileExists(atPath: "\(path)/nginx.pid")
        }
    }

    func stop() async throws {
        process.signal(SIGTERM)
        #expect(try await process.outcome().status == 0)
    }

    /// Makes an authority, and the certificate of localhost.
    static func makeCertificates(in workspace: Workspace) throws {
        let authority = try TestCA("web", id: nil, edit: valid)
        try makeCertificate(signedBy: authority, in: workspace) {
            $0.with(.names([.dns("localhost")])).with(.extendedKeyUsage([.server]))
        }
        try workspace.write("web-ca.pem", pem("CERTIFICATE", authority.certificate))
    }

    /// Makes the certificate that the next start serves with, as an X509-SVID but for what `edit` makes of it.
    static func makeCertificate(
        signedBy authority: TestCA, of id: String = "spiffe://example.org/server", in workspace: Workspace,
        edit: (CertificateTemplate) -> CertificateTemplate = { $0 }
    ) throws {
        let key = try PrivateKey.generate(.ellipticCurve(.p256))
        let leaf = try authority.workload(id, key: key) { edit(valid($0)) }
        let secret = try key.pkcs8().withSpan { span in span.indices.map { span[$0] } }
        try workspace.write("nginx/server.pem", pem("CERTIFICATE", leaf))
        try workspace.write("nginx/server.key", pem("PRIVATE KEY", secret))
    }

    /// For an hour from now.
    static func valid(_ template: CertificateTemplate) -> CertificateTemplate {
        var template = template
        let now = Date()
        (template.notBefore, template.notAfter) = (now.addingTimeInterval(-60), now.addingTimeInterval(3600))
        return template
    }

    private static func pem(_ label: String, _ der: [UInt8]) -> String {
        let lines = Data(der).base64EncodedString(options: [.lineLength64Characters, .endLineWithLineFeed])
        return "-----BEGIN \(label)-----\n\(lines)\n-----END \(label)-----\n"
    }

    /// In one process, which keeps the rights of the test: the folder is its alone.
    private static func configuration(port: Int) -> String {
        """
        daemon off;
        master_process off;
        pid nginx.pid;
        events {}
        http {
            access_log access.log;
            client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
            types { application/json json; }
            server {
                listen 127.0.0.1:\(port) ssl;
                ssl_certificate server.pem;
                ssl_certificate_key server.key;
                root ../served;
                location = /moved { return 302 /bundle.json; }
            }
        }

        """
    }
}
