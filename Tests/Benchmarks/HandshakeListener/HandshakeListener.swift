import Broker
import BrokerHTTP
import Foundation
import Logging
import NIOCore
import NIOPosix
import SPIFFE

/// Our TLS listener with as little as possible behind it, on one thread: without client certificates, with chains that are
/// all seen for the first time, and with chains that are remembered. Prints the three ports.
///
/// Usage: HandshakeListener FOLDER, a folder of certs/make-development
@main struct HandshakeListener {
    static func main() async throws {
        let folder = CommandLine.arguments[1]
        let bundle = try TrustBundle(
            pem: [UInt8](Data(contentsOf: URL(filePath: "\(folder)/bundle.pem"))),
            of: TrustDomain(parsing: "dev.example.org"))
        let bundles = try TrustBundleSet([bundle])
        let tls = ListenerTLS(certificateFile: "\(folder)/server.pem", keyFile: "\(folder)/server.key")
        var without = tls
        without.requestsClientCertificates = false
        var logger = Logger(label: "benchmark") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .info
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let ports = [
            try await listen(without, nil, group, logger),
            try await listen(tls, X509SVIDValidator(capacity: 0) { bundles }, group, logger),
            try await listen(tls, X509SVIDValidator { bundles }, group, logger),
        ]
        print(ports.map(String.init).joined(separator: " "))
        fflush(nil)
        try await Task.sleep(for: .seconds(600))
    }

    private static func listen(
        _ tls: ListenerTLS, _ validator: X509SVIDValidator?, _ group: any EventLoopGroup, _ logger: Logger
    ) async throws -> Int {
        let (clock, metrics) = (SystemClock(), TLSMetrics())
        let certificate = try ServerCertificate(tls, clock: clock, metrics: metrics, logger: logger)
        let listener = TLSListener(certificate, validator: validator, clock: clock, metrics: metrics, logger: logger)
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try listener.attach(to: channel)
                    try channel.pipeline.syncOperations.addHandler(Answer())
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return channel.localAddress?.port ?? 0
    }
}

/// Answers whatever is asked and closes.
private final class Answer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let answer = ByteBuffer(string: "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
        context.writeAndFlush(NIOAny(answer), promise: nil)
        context.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
