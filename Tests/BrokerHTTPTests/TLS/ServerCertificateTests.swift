import Broker
@testable import BrokerHTTP
import BrokerTesting
import Foundation
import JOSE
import NIOCore
import NIOPosix
import NIOSSL
import ServiceLifecycle
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `The server's own certificate` {
    @Test func `a changed pair serves new connections, and open ones go on`() async throws {
        try await TLSServer.run { server in
            let first = try await server.fingerprint()
            let open = try await OpenConnection(server.port)
            #expect(try await open.ask().hasSuffix("you are nobody"))
            try await server.replaceCertificate()
            server.certificate.look()
            #expect(try await open.ask().hasSuffix("you are nobody"))
            let second = try await server.fingerprint()
            #expect(first != second)
            #expect(second == (try await server.fingerprint(of: "certificates/server.pem")))
            #expect(try await open.ask().hasSuffix("you are nobody"))
            #expect(server.metric("daypass_tls_certificate_loads_total{outcome=\"success\"}") == "2")
            #expect(server.log.lines.map { $0.hasPrefix("notice the server certificate was read again") } == [true])
            try await open.close()
        }
    }

    @Test func `the files of before change nothing`() async throws {
        try await TLSServer.run { server in
            server.certificate.look()
            server.certificate.look()
            #expect(server.metric("daypass_tls_certificate_loads_total{outcome=\"success\"}") == "1")
            #expect(server.log.lines == [])
        }
    }

    /// What can be wrong with the files, and what is said of it.
    enum Fault: String, CaseIterable {
        case foreignKey, garbage, noCertificate, emptyCertificate, noKey, openKey, encryptedKey, tooLarge, folder

        var reason: String {
            switch self {
            case .foreignKey: "server.key: it is not the key of the first certificate in "
            case .garbage: "server.pem: it is not made of PEM certificates"
            case .noCertificate: "server.pem: No such file or directory"
            case .emptyCertificate: "server.pem: it is not made of PEM certificates"
            case .noKey: "server.key: No such file or directory"
            case .openKey: "server.key: others than its owner have access to it; chmod 600 it"
            case .encryptedKey: "server.key: it is not a private key in PEM without a password"
            case .tooLarge: "server.pem: it is too large"
            case .folder: "server.pem: it is not a regular file"
            }
        }
    }

    @Test(arguments: Fault.allCases)
    func `a pair that cannot be used keeps the one before, and a second look says so once`(fault: Fault) async throws {
        try await TLSServer.run { server in
            let first = try await server.fingerprint()
            let kept = try server.keep()
            try await server.spoil(fault)
            server.certificate.look()
            // It may have been between two writes.
            #expect(server.log.lines == [])
            #expect(server.metric("daypass_tls_certificate_current") == "1")
            server.certificate.look()
            server.certificate.look()
            #expect(server.log.lines.count == 1)
            let line = server.log.lines.first ?? ""
            #expect(line.hasPrefix("error the changed server certificate cannot be used; the one before it stays"))
            #expect(line.contains(fault.reason), "\(line)")
            #expect(server.metric("daypass_tls_certificate_current") == "0")
            #expect(server.metric("daypass_tls_certificate_loads_total{outcome=\"failure\"}") == "1")
            #expect(server.metrics.certificate?.failure?.cause.contains(fault.reason) == true)
            #expect(try await server.fingerprint() == first)

            try server.restore(kept)
            server.certificate.look()
            #expect(server.metric("daypass_tls_certificate_current") == "1")
            #expect(server.metrics.certificate?.failure == nil)
            #expect(server.log.lines.count == 2)
            #expect(try await server.fingerprint() == first)
        }
    }

    @Test func `a broken pair at the start is an error`() async throws {
        try await TLSServer.run { server in
            try await server.spoil(.foreignKey)
            let tls = ListenerTLS(
                certificateFile: server.path("server.pem"), keyFile: server.path("server.key"))
            #expect(throws: ServerCertificateFailure.self) {
                try ServerCertificate(tls, clock: SystemClock(), metrics: TLSMetrics(), logger: LineLog().logger)
            }
        }
    }

    @Test func `a key that its group may read is accepted`() async throws {
        try await TLSServer.run { server in
            try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: server.path("server.key"))
            server.certificate.look()
            server.certificate.look()
            #expect(server.log.lines == [])
        }
    }

    @Test func `readiness shows when it expires, and why a change is not used`() async throws {
        let metrics = TLSMetrics()
        metrics.loaded(expiry: Date(timeIntervalSince1970: 1_800_000_000))
        let readiness = Readiness(issuers: [], tls: metrics, storeOutage: { nil })
        #expect(await readiness.report().json["tls"]?.object?["certificate_expires"] == "2027-01-15T08:00:00Z")
        metrics.loadFailed(Outage(since: Date(timeIntervalSince1970: 1_800_000_060), cause: "broken"))
        let state = await readiness.report().json["tls"]?.object
        #expect(state?["last_error"] == "broken")
        #expect(state?["failing_since"] == "2027-01-15T08:01:00Z")
    }

    @Test func `the files are looked at again and again until the end`() async throws {
        try await TLSServer.run { server in
            let pauses = Mutable<[Duration]>([])
            try await server.replaceCertificate()
            let reloader = ServerCertificateReloader(server.certificate) { pause in
                pauses.value.append(pause)
                if pauses.value.count == 3 { throw CancellationError() }
            }
            await reloader.run()
            #expect(pauses.value == [.seconds(5), .seconds(5), .seconds(5)])
            #expect(server.metric("daypass_tls_certificate_loads_total{outcome=\"success\"}") == "2")
        }
    }

    @Test func `the listener ends although a client does not say farewell`() async throws {
        let held = Mutable<RawConnection?>(nil)
        try await TLSServer.run { server in
            // Its handshake never begins.
            held.value = try await RawConnection(port: server.port)
            _ = try await server.curl()
        }
        try? await held.value?.close()
    }
}

extension TLSServer {
    func path(_ name: String) -> String { folder.appending(path: "certificates/\(name)").path }

    /// SHA-256 of the certificate that a new connection is shown.
    func fingerprint() async throws -> String {
        let shown = try await openssl().output
        try Data(shown.utf8).write(to: folder.appending(path: "shown.pem"))
        return try await fingerprint(of: "shown.pem")
    }

    func fingerprint(of file: String) async throws -> String {
        let command = ["openssl", "x509", "-in", file, "-noout", "-fingerprint", "-sha256"]
        let printed = try await Command.run(command, in: folder)
        try #require(printed.status == 0, "\(printed.output)")
        return printed.output
    }

    /// With one of another root, in the same files.
    func replaceCertificate() async throws {
        let name = "certificates-\(UUID().uuidString)"
        let made = try await Self.makeDevelopment(name, in: folder)
        try #require(made.status == 0, "\(made.output)")
        for file in ["server.pem", "server.key"] {
            let contents = try Data(contentsOf: folder.appending(path: "\(name)/\(file)"))
            try contents.write(to: folder.appending(path: "certificates/\(file)"))
        }
    }

    func keep() throws -> [String: Data] {
        try ["server.pem", "server.key"].reduce(into: [:]) {
            $0[$1] = try Data(contentsOf: folder.appending(path: "certificates/\($1)"))
        }
    }

    func restore(_ files: [String: Data]) throws {
        for (name, contents) in files {
            try? FileManager.default.removeItem(atPath: path(name))
            try contents.write(to: URL(filePath: path(name)))
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path(name))
        }
    }

    func spoil(_ fault: `The server's own certificate`.Fault) async throws {
        let files = FileManager.default
        let (certificate, key) = (URL(filePath: path("server.pem")), URL(filePath: path("server.key")))
        switch fault {
        case .foreignKey: try Data(contentsOf: folder.appending(path: "certificates/workload.key")).write(to: key)
        case .garbage: try Data("-----BEGIN CERTIFICATE-----\nAAAA\n".utf8).write(to: certificate)
        case .noCertificate: try files.removeItem(at: certificate)
        case .emptyCertificate: try Data().write(to: certificate)
        case .noKey: try files.removeItem(at: key)
        case .openKey: try files.setAttributes([.posixPermissions: 0o604], ofItemAtPath: key.path)
        case .encryptedKey:
            let made = try await Command.run(
                ["openssl", "pkcs8", "-topk8", "-in", key.path, "-passout", "pass:secret", "-out", "encrypted"],
                in: folder)
            try #require(made.status == 0, "\(made.output)")
            try Data(contentsOf: folder.appending(path: "encrypted")).write(to: key)
        case .tooLarge: try Data(repeating: 0x20, count: 65 * 1024).write(to: certificate)
        case .folder:
            try files.removeItem(at: certificate)
            try files.createDirectory(at: certificate, withIntermediateDirectories: false)
        }
    }
}

/// One connection over TLS, on which a test asks one question after the other.
private struct OpenConnection: Sendable {
    private let channel: any Channel
    private let received: AsyncStream<String>

    init(_ port: Int) async throws {
        let (received, continuation) = AsyncStream<String>.makeStream()
        self.received = received
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        let context = try NIOSSLContext(configuration: configuration)
        channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(
                        NIOSSLClientHandler(context: context, serverHostname: "localhost"),
                        RawConnection.Receiver(continuation))
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
    }

    func ask() async throws -> String {
        try await channel.writeAndFlush(ByteBuffer(string: "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        var answer = ""
        for await text in received {
            answer += text
            if answer.contains("you are ") { return answer }
        }
        return answer
    }

    func close() async throws {
        try await channel.close()
    }
}
