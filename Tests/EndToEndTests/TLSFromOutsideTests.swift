import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

/// What `openssl s_client` and a connection that stays open see of the listener.
@Suite(
    .onOwnThreads, .timeLimit(.minutes(5)),
    .enabled(
        if: Programs.certificatePython != nil && Programs.openssl != nil,
        "cryptography or openssl is not installed: Tests/Peers/install"))
struct `The TLS of daypassd from outside` {
    private static let request = "GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n"
    private static let certificate = "-cert good/p256.pem -key good/p256.key -cert_chain between.pem"

    private func broker() async throws -> SecureBroker {
        let workspace = try Workspace()
        try await Certificates.python(workspace)
        return try await SecureBroker(workspace, rules: Certificates.pythonDomain)
    }

    /// All that `openssl s_client` prints.
    /// - Parameter input: a shell command whose output it sends.
    private func connect(
        _ broker: SecureBroker, _ options: String, input: String = "printf '\(request)'"
    ) async throws -> String {
        let command = "openssl s_client -connect localhost:\(broker.port) -CAfile root.pem \(options)"
        let outcome = try await RunningProcess(
            "/bin/sh", ["-c", "(\(input)) | timeout 20 \(command)"], in: broker.workspace.folder
        ).outcome()
        return outcome.output + outcome.error
    }

    @Test func `nothing is resumed, sent early or renegotiated, and TLS 1 point 1 is refused`() async throws {
        let broker = try await broker()
        for options in ["-tls1_3", "-tls1_2", "-tls1_2 -no_ticket"] {
            let first = try await connect(broker, "\(options) -ign_eof -sess_out session.pem \(Self.certificate)")
            #expect(first.contains(#"{"status":"ok"}"#), "\(first)")
            #expect(FileManager.default.fileExists(atPath: broker.workspace.path("session.pem")))
            // What was early is sent again by nobody: the answer is to what came after the handshake.
            let early = options == "-tls1_3" ? " -early_data early" : ""
            try broker.workspace.write("early", "GET /early HTTP/1.1\r\nHost: localhost\r\n\r\n")
            let second = try await connect(broker, "\(options) -ign_eof -sess_in session.pem\(early)")
            #expect(second.contains(#"{"status":"ok"}"#), "\(second)")
            #expect(second.contains("\nNew, TLSv1."), "\(second)")
            #expect(!second.contains("\nReused, "))
            if early != "" {
                #expect(second.contains("Early data was not sent"), "\(second)")
                #expect(first.contains("Max Early Data: 0"), "\(first)")
            }
            try FileManager.default.removeItem(atPath: broker.workspace.path("session.pem"))
        }
        let old = try await connect(broker, "-tls1_1 -cipher ALL:@SECLEVEL=0")
        #expect(old.contains("alert protocol version") && !old.contains("HTTP/1.1"), "\(old)")
        try await waitUntil("it is logged") {
            try broker.handshakeLines().map { $0["reason"]?.string?.string } == ["UNSUPPORTED_PROTOCOL"]
        }

        let again = try await connect(broker, "-tls1_2", input: "sleep 1; echo R; sleep 1; printf '\(Self.request)'")
        #expect(again.contains("Secure Renegotiation IS supported") && again.contains("RENEGOTIATING"), "\(again)")
        #expect(!again.contains("HTTP/1.1"), "\(again)")
        let anew = try await connect(broker, "-tls1_2 -ign_eof")
        #expect(anew.contains(#"{"status":"ok"}"#))
        try await broker.stop()
    }

    @Test func `a changed certificate serves new connections, a broken one nobody, and open ones go on`() async throws {
        let broker = try await broker()
        let workspace = broker.workspace
        let client = try await CertificateClient(of: broker)
        try await Certificates.develop(workspace, "new")
        let newcomer = try await CertificateClient(of: workspace, port: broker.port, authority: "new/bundle.pem")
        let first = try await client.token(as: "good/p256", over: "kept")
        #expect(first.status == 200, "\(first)")
        func goesOn() async throws {
            let answer = try await client.token(as: "good/p256", over: "kept")
            #expect(answer.status == 200 && answer.port == first.port, "\(answer)")
            #expect(answer.serverCertificate == first.serverCertificate)
        }
        for file in ["server.key", "server.pem"] {
            try workspace.write(file, Data(contentsOf: workspace.folder.appending(path: "new/\(file)")))
        }
        try await waitUntil("the new certificate is served", within: 30) {
            try await goesOn()
            return try await newcomer.token(as: "good/p256").status == 200
        }
        let second = try await newcomer.token(as: "good/p256", over: "second")
        #expect(second.serverCertificate != first.serverCertificate)

        try workspace.write("server.pem", "-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n")
        try await waitUntil("the broken certificate is reported", within: 30) {
            try await goesOn()
            #expect(try await newcomer.token(as: "good/p256").serverCertificate == second.serverCertificate)
            let report = try await broker.send(.GET, "\(broker.telemetry)/readyz")
            return report.body.contains("server.pem: it is not made of PEM certificates")
        }
        try workspace.write("server.pem", Data(contentsOf: workspace.folder.appending(path: "new/server.pem")))
        try await waitUntil("nothing is reported any more", within: 30) {
            try await goesOn()
            return try await !broker.send(.GET, "\(broker.telemetry)/readyz").body.contains("server.pem")
        }
        #expect(try await newcomer.token(as: "good/p256", over: "second").port == second.port)
        try await broker.stop()
    }
}
