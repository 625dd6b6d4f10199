import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// Full TLS 1.3 handshakes with a server on this machine, a request on each, several connections at a time on one thread.
/// Each identity is used as often as the others; with as many handshakes as identities, each is seen once. Prints how many
/// seconds it took.
///
/// Usage: HandshakeLoad PORT HANDSHAKES [FILE…], each file with a key and the chain for it, in PEM
@main struct HandshakeLoad {
    private static let connections = 32

    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count >= 3, let port = Int(arguments[1]), let count = Int(arguments[2]) else {
            fatalError("Usage: HandshakeLoad PORT HANDSHAKES [FILE…]")
        }
        let contexts = try arguments.count == 3 ? [context(nil)] : arguments[3...].map { try context($0) }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let load = Load(port: port, contexts: contexts, count: count, eventLoop: group.next())
        let start = ContinuousClock.now
        try await load.run(connections)
        let time = start.duration(to: .now)
        print(Double(time.components.seconds) + Double(time.components.attoseconds) / 1e18)
    }

    private static func context(_ file: String?) throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv13
        // Who the server is does not matter here, and checking it would keep the client busy.
        configuration.certificateVerification = .none
        if let file {
            let pem = try [UInt8](Data(contentsOf: URL(filePath: file)))
            configuration.certificateChain = try NIOSSLCertificate.fromPEMBytes(pem).map { .certificate($0) }
            configuration.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: pem, format: .pem))
        }
        return try NIOSSLContext(configuration: configuration)
    }
}

/// Used on its event loop alone.
private final class Load: Sendable {
    private let port: Int
    private let contexts: [NIOSSLContext]
    private let count: Int
    private let eventLoop: any EventLoop
    private let state: NIOLoopBoundBox<(begun: Int, ended: Int)>
    private let done: EventLoopPromise<Void>

    init(port: Int, contexts: [NIOSSLContext], count: Int, eventLoop: any EventLoop) {
        (self.port, self.contexts, self.count, self.eventLoop) = (port, contexts, count, eventLoop)
        state = NIOLoopBoundBox.makeBoxSendingValue((0, 0), eventLoop: eventLoop)
        done = eventLoop.makePromise()
    }

    func run(_ connections: Int) async throws {
        eventLoop.execute { (0..<connections).forEach { _ in self.next() } }
        try await done.futureResult.get()
    }

    private func next() {
        guard state.value.begun < count else { return }
        let context = contexts[state.value.begun % contexts.count]
        state.value.begun += 1
        let connected = ClientBootstrap(group: eventLoop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(NIOSSLClientHandler(context: context, serverHostname: "localhost"))
                    try pipeline.addHTTPClientHandlers()
                    try pipeline.addHandler(OneRequest { self.ended($0) })
                }
            }
            .connect(host: "127.0.0.1", port: port)
        connected.whenFailure { self.done.fail($0) }
    }

    private func ended(_ isGood: Bool) {
        guard isGood else { return done.fail(Refused()) }
        state.value.ended += 1
        if state.value.ended == count { done.succeed() } else { next() }
    }

    private struct Refused: Error {}
}

/// One request on a connection, which closes it.
private final class OneRequest: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private let ended: (Bool) -> Void
    private var isGood = false

    init(ended: @escaping (Bool) -> Void) {
        self.ended = ended
    }

    func channelActive(context: ChannelHandlerContext) {
        let head = HTTPRequestHead(
            version: .http1_1, method: .GET, uri: "/healthz", headers: ["Host": "localhost", "Connection": "close"])
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): isGood = head.status == .ok
        case .body: break
        case .end: context.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        ended(isGood)
    }
}
