import Broker
import Foundation
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `Session resumption` {
    private static let workload = [
        "-cert", "certificates/workload.pem", "-key", "certificates/workload.key", "-cert_chain", "intermediate.pem",
    ]

    /// A session that `openssl s_client` kept is offered again, and the listener does a full handshake all the same: with the
    /// ticket of TLS 1.3, the ticket of 1.2, and the session id of 1.2.
    @Test(arguments: [["-tls1_3"], ["-tls1_2"], ["-tls1_2", "-no_ticket"]], [true, false])
    func `a kept session is not resumed`(options: [String], requests: Bool) async throws {
        try await TLSServer.run(minimumVersion: .tls12, requests: requests) { server in
            let base = ["openssl", "s_client", "-connect", "localhost:\(server.port)", "-ign_eof"] + options
            let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            let first = try await Command.run(
                base + Self.workload + ["-sess_out", "session.pem"], in: server.folder, input: request)
            let expected = requests ? "you are spiffe://dev.example.org/workload" : "you are nobody"
            #expect(first.output.contains(expected), "\(first.output)")
            let session = try String(contentsOf: server.folder.appending(path: "session.pem"), encoding: .utf8)
            #expect(session.contains("BEGIN SSL SESSION PARAMETERS"))
            // Without the certificate: a resumed session would still be the workload's.
            let second = try await Command.run(
                base + ["-sess_in", "session.pem"], in: server.folder, input: request)
            #expect(second.output.contains("\nNew, TLSv1."), "\(second.output)")
            #expect(!second.output.contains("\nReused, "))
            #expect(second.output.contains("you are nobody"), "\(second.output)")
        }
    }
}
