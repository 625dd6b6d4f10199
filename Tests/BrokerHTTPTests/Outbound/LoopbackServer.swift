import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// A server on 127.0.0.1 that answers each request with whatever bytes a test wants, and counts.
final class LoopbackServer: Sendable {
    enum Answer: Sendable {
        /// These bytes, and the connection is closed.
        case bytes([UInt8])
        /// These bytes, and the connection is closed beneath TLS, which does not get to say so.
        case cut([UInt8])
        /// These bytes, and then nothing, ever.
        case stall([UInt8])
        /// `head`, and then `part` again and again until the client goes away.
        case endless(head: [UInt8], part: [UInt8])

        static func document(_ text: String, status: String = "200 OK", headers: [String] = []) -> Answer {
            let head = ["HTTP/1.1 \(status)"] + headers + ["Content-Length: \(text.utf8.count)", "", ""]
            return .bytes(Array((head.joined(separator: "\r\n") + text).utf8))
        }

        static func redirect(to location: String, status: String = "302 Found") -> Answer {
            .document("", status: status, headers: ["Location: \(location)"])
        }
    }

    struct Tally: Sendable {
        var connections = 0
        /// Each from the request line to its end.
        var requests: [String] = []
        var bytesWritten = 0
    }

    private let channel: any Channel
    private let state: State

    /// Runs `body` with a server that gives `answer`, which is told the request's target and the server's port.
    @discardableResult
    static func run<Result>(
        tls: NIOSSLContext? = nil, answer: @escaping @Sendable (_ target: String, _ port: Int) -> Answer,
        _ body: (LoopbackServer) async throws -> Result
    ) async throws -> Result {
        let state = State()
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                state.accepted(channel)
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Socket(), name: Socket.name)
                    if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
                    try channel.pipeline.syncOperations.addHandler(Responder(state: state, answer: answer))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let server = LoopbackServer(channel: channel, state: state)
        do {
            let result = try await body(server)
            await server.stop()
            return result
        } catch {
            await server.stop()
            throw error
        }
    }

    /// For where only one answer is needed.
    @discardableResult
    static func run<Result>(
        _ answer: Answer, _ body: (LoopbackServer) async throws -> Result
    ) async throws -> Result {
        try await run(answer: { _, _ in answer }, body)
    }

    private init(channel: any Channel, state: State) {
        self.channel = channel
        self.state = state
    }

    var port: Int { channel.localAddress?.port ?? 0 }
    var origin: String { "http://127.0.0.1:\(port)" }
    var tally: Tally { state.tally.withLock { $0 } }

    /// Returns when every connection so far is closed.
    func untilClosed() async {
        for child in state.children.withLock({ $0 }) { try? await child.closeFuture.get() }
    }

    private func stop() async {
        try? await channel.close()
        await hangUp()
    }

    /// Closes every connection so far.
    func hangUp() async {
        for child in state.children.withLock({ $0 }) { try? await child.close() }
    }

    private final class State: Sendable {
        let tally = Mutex(Tally())
        let children = Mutex<[any Channel]>([])

        func accepted(_ channel: any Channel) {
            tally.withLock { $0.connections += 1 }
            children.withLock { $0.append(channel) }
        }
    }

    /// Does nothing, at the place where TLS is behind one.
    private final class Socket: ChannelDuplexHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundIn = ByteBuffer

        static let name = "socket"
    }

    private final class Responder: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let state: State
        private let answer: @Sendable (String, Int) -> Answer
        private var received = ""

        init(state: State, answer: @escaping @Sendable (String, Int) -> Answer) {
            self.state = state
            self.answer = answer
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            received += String(buffer: unwrapInboundIn(data))
            guard Self.isWhole(received) else { return }
            let head = received
            received = ""
            state.tally.withLock { $0.requests.append(head) }
            let target = head.split(separator: " ").dropFirst().first.map(String.init) ?? ""
            let channel = context.channel
            switch answer(target, channel.localAddress?.port ?? 0) {
            case .bytes(let bytes):
                channel.writeAndFlush(ByteBuffer(bytes: bytes)).whenComplete { _ in channel.close(promise: nil) }
            case .cut(let bytes):
                channel.writeAndFlush(ByteBuffer(bytes: bytes)).whenComplete { _ in
                    let socket = try? channel.pipeline.syncOperations.context(name: Socket.name)
                    socket?.close(promise: nil)
                }
            case .stall(let bytes): channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
            case .endless(let head, let part):
                channel.writeAndFlush(ByteBuffer(bytes: head), promise: nil)
                Self.write(ByteBuffer(bytes: part), to: channel, state)
            }
        }

        private static func isWhole(_ request: String) -> Bool {
            guard let end = request.range(of: "\r\n\r\n") else { return false }
            let length = request[..<end.lowerBound].split(separator: "\r\n")
                .first { $0.lowercased().hasPrefix("content-length:") }
                .flatMap { Int($0.dropFirst("content-length:".count).drop { $0 == " " }) }
            return request[end.upperBound...].utf8.count >= length ?? 0
        }

        private static func write(_ part: ByteBuffer, to channel: any Channel, _ state: State) {
            channel.writeAndFlush(part).whenSuccess {
                state.tally.withLock { $0.bytesWritten += part.readableBytes }
                // Not at once: a write that succeeds immediately would nest the next one in itself.
                channel.eventLoop.execute { write(part, to: channel, state) }
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }
    }
}
