import Broker
@testable import BrokerHTTP
import BrokerTesting
import Foundation
import Logging
import NIOCore
import NIOEmbedded
import NIOPosix
import NIOSSL
import NIOTLS
import SPIFFE
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `Handshakes that the TLS library refuses` {
    @Test func `a client of TLS 1 point 2 where 1 point 3 is demanded`() async throws {
        try await TLSServer.run { server in
            let answer = try await server.openssl("-tls1_2")
            #expect(answer.output.contains("alert protocol version"), "\(answer.output)")
            _ = await server.log.firstLine()
            #expect(
                server.log.lines
                    == ["info TLS handshake failed client=127.0.0.1 omitted=0 reason=UNSUPPORTED_PROTOCOL"])
            #expect(server.handshakes("failed") == "1")
        }
    }

    @Test func `TLS 1 point 1, whatever is configured`() async throws {
        try await TLSServer.run(minimumVersion: .tls12) { server in
            let answer = try await server.openssl("-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
            #expect(!answer.output.contains("you are"))
            _ = await server.log.firstLine()
            #expect(server.handshakes("failed") == "1")
        }
    }

    @Test(arguments: ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "AES128-SHA"])
    func `a cipher without forward secrecy or without authenticated encryption`(cipher: String) async throws {
        try await TLSServer.run(minimumVersion: .tls12) { server in
            let answer = try await server.openssl("-tls1_2", "-cipher", cipher)
            #expect(!answer.output.contains("you are"))
            // Where the client needs no curve, that is missed first.
            let line = await server.log.firstLine()
            #expect(line.hasSuffix("reason=NO_SHARED_CIPHER") || line.hasSuffix("reason=WRONG_CURVE"), "\(line)")
        }
    }

    @Test func `plain HTTP`() async throws {
        try await TLSServer.run { server in
            let connection = try await RawConnection(port: server.port)
            let answer = await connection.answer(to: "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(!answer.contains("HTTP/1.1"))
            #expect(await server.log.firstLine().hasSuffix("reason=HTTP_REQUEST"))
            #expect(server.log.lines.count == 1)
        }
    }

    @Test func `a chain of a megabyte, before anybody looks at it`() async throws {
        try await TLSServer.run { server in
            let one = try String(contentsOf: server.folder.appending(path: "certificates/bundle.pem"), encoding: .utf8)
            // Some 470 bytes of DER each.
            try Data(String(repeating: one, count: 2400).utf8).write(to: server.folder.appending(path: "chain.pem"))
            let answer = try await server.openssl(
                "-cert", "certificates/workload.pem", "-key", "certificates/workload.key", "-cert_chain", "chain.pem")
            #expect(!answer.output.contains("you are"))
            #expect(await server.log.firstLine().hasSuffix("reason=EXCESSIVE_MESSAGE_SIZE"))
            #expect(server.handshakes("failed") == "1")
            #expect(server.log.lines.count == 1)
        }
    }

    @Test(.timeLimit(.minutes(1))) func `no stop waits for a handshake that does not go on`() async throws {
        try await TLSServer.run(handshakeLimit: .minutes(5)) { server in
            _ = try await RawConnection(port: server.port)
            let halfway = try await RawConnection(port: server.port)
            // The beginning of a record of 512 bytes.
            halfway.write("\u{16}\u{03}\u{01}\u{02}\u{00}\u{01}")
            // Connections are accepted in their order.
            #expect(try await server.curl().output.contains("you are"))
        }
    }

    @Test func `one certificate more than a chain may have is refused by us`() async throws {
        try await TLSServer.run { server in
            let one = try String(contentsOf: server.folder.appending(path: "certificates/bundle.pem"), encoding: .utf8)
            try Data(String(repeating: one, count: 8).utf8).write(to: server.folder.appending(path: "chain.pem"))
            let answer = try await server.openssl(
                "-cert", "certificates/workload.pem", "-key", "certificates/workload.key", "-cert_chain", "chain.pem")
            #expect(!answer.output.contains("you are"))
            #expect(await server.log.firstLine().hasSuffix("reason=more than 8 certificates were sent"))
            #expect(server.handshakes("refused_certificate") == "1")
        }
    }

    @Test func `somebody else's certificate without its key`() async throws {
        try await TLSServer.run { server in
            let chain = try NIOSSLCertificate.fromPEMFile(
                server.folder.appending(path: "certificates/workload.pem").path)
            var configuration = TLSConfiguration.makeClientConfiguration()
            configuration.certificateVerification = .none
            configuration.certificateChain = chain.map { .certificate($0) }
            configuration.privateKey = .privateKey(NIOSSLPrivateKey(customPrivateKey: Pretender()))
            let context = try NIOSSLContext(configuration: configuration)
            let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(
                            NIOSSLClientHandler(context: context, serverHostname: "localhost"))
                        try channel.pipeline.syncOperations.addHandler(ClosesOnError())
                    }
                }
                .connect(host: "127.0.0.1", port: server.port).get()
            try await channel.closeFuture.get()
            let line = await server.log.firstLine()
            #expect(line.hasSuffix("reason=BAD_SIGNATURE"), "\(line)")
            #expect(server.handshakes("certificate") == "0")
        }
    }

    @Test func `a client that goes away is counted and not logged`() async throws {
        try await TLSServer.run { server in
            let connection = try await RawConnection(port: server.port)
            try await connection.close()
            // The next connection is accepted after it.
            for _ in 0..<200 where server.handshakes("closed") == "0" { _ = try await server.curl() }
            #expect(server.handshakes("closed") == "1")
            #expect(server.log.lines == [])
        }
    }

    private final class ClosesOnError: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }
    }

    /// Signs, but not with the key of the certificate.
    private struct Pretender: NIOSSLCustomPrivateKey, Hashable {
        let signatureAlgorithms: [SignatureAlgorithm] = [.ecdsaSecp256R1Sha256]

        func sign(channel: any Channel, algorithm: SignatureAlgorithm, data: ByteBuffer) -> EventLoopFuture<ByteBuffer>
        {
            let number: [UInt8] = [0x02, 0x20, 0x11] + [UInt8](repeating: 0x22, count: 31)
            return channel.eventLoop.makeSucceededFuture(ByteBuffer(bytes: [0x30, 0x44] + number + number))
        }

        func decrypt(channel: any Channel, data: ByteBuffer) -> EventLoopFuture<ByteBuffer> {
            channel.eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
        }
    }
}

@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `The time and the lines of a handshake` {
    private static func watch(_ metrics: TLSMetrics, _ log: LineLog) -> HandshakeWatch {
        HandshakeWatch(
            ConnectionIdentity(), metrics: metrics, log: HandshakeLog(logger: log.logger, clock: ManualClock()))
    }

    private static func count(_ metrics: TLSMetrics, _ outcome: String) -> Bool {
        var text = MetricText()
        metrics.write(to: &text)
        return String(decoding: text.bytes, as: UTF8.self).contains("{outcome=\"\(outcome)\"} 1\n")
    }

    @Test func `a handshake that is not done after five seconds ends the connection`() throws {
        let (metrics, log) = (TLSMetrics(), LineLog())
        let channel = EmbeddedChannel(handler: Self.watch(metrics, log))
        try channel.connect(to: SocketAddress(ipAddress: "192.0.2.1", port: 1)).wait()
        channel.embeddedEventLoop.advanceTime(by: .milliseconds(4999))
        #expect(channel.isActive)
        channel.embeddedEventLoop.advanceTime(by: .milliseconds(1))
        #expect(!channel.isActive)
        #expect(Self.count(metrics, "too_slow"))
        #expect(log.lines.map { $0.contains("reason=it took more than 5 s") } == [true])
    }

    @Test func `a handshake that is done in time has no limit any more`() throws {
        let (metrics, log) = (TLSMetrics(), LineLog())
        let channel = EmbeddedChannel(handler: Self.watch(metrics, log))
        try channel.connect(to: SocketAddress(ipAddress: "192.0.2.1", port: 1)).wait()
        channel.pipeline.fireUserInboundEventTriggered(TLSUserEvent.handshakeCompleted(negotiatedProtocol: nil))
        channel.embeddedEventLoop.advanceTime(by: .seconds(60))
        #expect(channel.isActive)
        #expect(Self.count(metrics, "no_certificate"))
        #expect(log.lines == [])
        _ = try? channel.finish()
    }

    @Test func `a chain is nobody's before the handshake has shown the key`() throws {
        let identity = ConnectionIdentity()
        let (root, clock) = (try TestCA(), ManualClock())
        let leaf = try root.workload()
        let bundle = try TrustBundle(
            pem: Array(
                "-----BEGIN CERTIFICATE-----\n\(Data(root.certificate).base64EncodedString())\n-----END CERTIFICATE-----\n"
                    .utf8),
            of: TrustDomain(parsing: "example.org"))
        let svid = try X509SVID.validate([leaf], against: TrustBundleSet([bundle]), at: clock.now)
        let sent = [try NIOSSLCertificate(bytes: leaf, format: .der)]
        #expect(identity.claim(sent) { _ in svid })
        #expect(identity.peer == nil)
        identity.prove()
        #expect(try identity.peer?.current(in: TrustBundleSet([bundle]), at: clock.now) == svid)
        let refused = ConnectionIdentity()
        #expect(!refused.claim(sent) { _ throws(X509SVIDFailure) in throw .noCertificate })
        refused.prove()
        #expect(refused.peer == nil)
    }

    @Test func `ten lines a second, and then how many there were`() throws {
        let (clock, log) = (ManualClock(), LineLog())
        let handshakes = HandshakeLog(logger: log.logger, clock: clock)
        for _ in 0..<25 { handshakes.note(.failed, reason: "x", .unknown) }
        #expect(log.lines.count == 10)
        // Garbage hides no certificate that was refused.
        handshakes.note(.refusedCertificate, reason: "z", .unknown)
        #expect(log.lines.count == 11)
        clock.advance(by: .seconds(1))
        handshakes.note(.failed, reason: "x", .unknown)
        #expect(log.lines.count == 12)
        #expect(log.lines.last?.contains("omitted=15") == true)
    }
}
