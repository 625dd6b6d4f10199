import NIOCore
import NIOPosix
import Testing

/// A TCP connection to a listener, on which a test writes what it likes.
struct RawConnection: Sendable {
    private let channel: any Channel
    private let received: AsyncStream<String>

    init(port: Int) async throws {
        let (received, continuation) = AsyncStream<String>.makeStream()
        self.received = received
        channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Receiver(continuation))
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
    }

    /// The head of the answer; empty when the connection is closed instead.
    func answer(to request: String) async -> String {
        channel.writeAndFlush(ByteBuffer(string: request), promise: nil)
        var answer = ""
        for await text in received {
            answer += text
            if answer.contains("\r\n\r\n") { return answer }
        }
        return answer
    }

    /// A question without a body, whose answer has none.
    func ask() async -> String {
        await answer(to: "GET /verify HTTP/1.1\r\nHost: broker\r\n\r\n")
    }

    func close() async throws {
        try await channel.close()
    }

    private final class Receiver: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let received: AsyncStream<String>.Continuation

        init(_ received: AsyncStream<String>.Continuation) {
            self.received = received
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            received.yield(String(buffer: unwrapInboundIn(data)))
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
    func connect() async throws -> RawConnection {
        let port = try #require(origin.split(separator: ":").last.flatMap { Int($0) })
        return try await RawConnection(port: port)
    }
}
