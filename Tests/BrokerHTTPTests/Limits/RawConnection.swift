import BrokerTesting
import NIOCore
import NIOHTTP1
import NIOPosix
import Testing

/// A TCP connection to a listener, on which a test writes what it likes.
struct RawConnection: Sendable {
    private let channel: any Channel
    private let received: AsyncStream<String>

    /// - Parameter reads: whether what comes is taken; where it is not, little of it fits in between.
    init(port: Int, reads: Bool = true) async throws {
        let (received, continuation) = AsyncStream<String>.makeStream()
        self.received = received
        channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.autoRead, value: reads)
            .channelOption(.socketOption(.so_rcvbuf), value: reads ? 128 * 1024 : 4096)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Receiver(continuation))
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
    }

    func write(_ text: String) {
        channel.writeAndFlush(ByteBuffer(string: text), promise: nil)
    }

    /// The head of the answer; empty when the connection is closed instead.
    func answer(to request: String) async -> String {
        write(request)
        var answer = ""
        for await text in received {
            answer += text
            if answer.contains("\r\n\r\n") { return answer }
        }
        return answer
    }

    /// All that comes until the other side closes.
    func everything(after request: String) async -> String {
        write(request)
        return await received.reduce("", +)
    }

    /// A question without a body, whose answer has none.
    func ask() async -> String {
        await answer(to: "GET /verify HTTP/1.1\r\nHost: broker\r\n\r\n")
    }

    /// Waits until the other side has closed.
    func end() async {
        try? await channel.closeFuture.get()
    }

    func close() async throws {
        try await channel.close()
    }

    /// Hands on what comes, until the connection ends, or the other side does where that is told apart.
    final class Receiver: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let received: AsyncStream<String>.Continuation

        init(_ received: AsyncStream<String>.Continuation) {
            self.received = received
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            received.yield(String(buffer: unwrapInboundIn(data)))
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if event as? ChannelEvent == .inputClosed { received.finish() }
            context.fireUserInboundEventTriggered(event)
        }

        func channelInactive(context: ChannelHandlerContext) {
            received.finish()
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }
    }
}

extension LiveBroker {
    func connect(reads: Bool = true) async throws -> RawConnection {
        let port = try #require(origin.split(separator: ":").last.flatMap { Int($0) })
        return try await RawConnection(port: port, reads: reads)
    }

    /// How many requests and connections a limit refused so far.
    func refusals(by limit: String) async throws -> Int {
        let metrics = try await send(.GET, "\(telemetry)/metrics").body
        let name = "daypass_limit_refusals_total{limit=\"\(limit)\"} "
        let line = try #require(metrics.split(separator: "\n").first { $0.hasPrefix(name) })
        return try #require(Int(line.dropFirst(name.count)))
    }
}
