import Broker
import Glibc
import HummingbirdCore
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle

/// One listener: accepts connections and has each handled, until it is to stop.
///
/// Then each connection that was accepted is served: the socket is closed only when the last of them has been handed on,
/// and how each of them ends is up to its `ConnectionLimits`. What still waits in the socket's queue is left to whoever has
/// the socket open as well, such as the next broker. A socket that is closed otherwise ends the listener with an error.
///
/// Not Hummingbird's `Server`, which opens its socket itself, and drops what it is just accepting when it stops.
struct ListenerService: Service {
    enum Place: Sendable {
        case address(ListenAddress)
        case unixSocket(path: String)
        case opened(ListeningSocket)
    }

    let place: Place
    /// For messages.
    let name: String
    let bound: any AvailableConnectionsDelegate
    let eventLoops: any EventLoopGroup
    let channel: EventLoopChannel
    let logger: Logger
    /// Told the address before the first connection is accepted.
    let onListening: @Sendable (SocketAddress) async -> Void

    /// What waits to be accepted, at most; the kernel has a bound of its own.
    private static let backlog: Int32 = 1024
    /// The same of a socket that others have open, where it does not say: it waits for the next broker as well.
    private static let sharedBacklog: Int32 = 4096

    func run() async throws {
        let connections = OpenConnections()
        let (arrivals, arrive) = AsyncStream<EventLoopChannel.Value>.makeStream()
        let socket: any Channel
        do {
            socket = try await open(connections, arrive)
        } catch let error as IOError {
            throw ListenerFailure(
                description: "cannot listen on \(name): \(String(cString: strerror(error.errnoCode)))")
        }
        socket.closeFuture.whenComplete { _ in
            if !connections.isStopping {
                logger.error(
                    "a listener's socket was closed: the listener ends",
                    metadata: ["address": "\(name)", "cause": "\(Self.cause(connections))"])
                Self.quiesce(connections)
            }
            arrive.finish()
        }
        if let address = socket.localAddress { await onListening(address) }
        await withTaskCancellationHandler {
            await withGracefulShutdownHandler {
                try? await socket.setOption(ChannelOptions.autoRead, value: true).get()
                await withDiscardingTaskGroup { group in
                    for await value in arrivals {
                        group.addTask { await channel.handle(value: value, logger: logger) }
                    }
                }
            } onGracefulShutdown: {
                Self.stop(socket, connections, arrive)
            }
        } onCancel: {
            connections.stop()
            socket.close(promise: nil)
        }
        guard connections.isStopping else {
            throw ListenerFailure(description: "the socket of \(name) was closed: \(Self.cause(connections))")
        }
    }

    /// Why nothing can be accepted.
    private static func cause(_ connections: OpenConnections) -> String {
        connections.failure.map { String(cString: strerror($0.errnoCode)) } ?? "by somebody else"
    }

    private func open(
        _ connections: OpenConnections, _ arrive: AsyncStream<EventLoopChannel.Value>.Continuation
    ) async throws -> any Channel {
        let (bound, channel, name, logger) = (bound, channel, name, logger)
        let bootstrap = ServerBootstrap(group: eventLoops)
            .serverChannelOption(ChannelOptions.backlog, value: Self.backlog)
            .serverChannelOption(ChannelOptions.autoRead, value: false)
            .childChannelOption(ChannelOptions.allowRemoteHalfClosure, value: true)
            .serverChannelInitializer { socket in
                socket.eventLoop.makeCompletedFuture {
                    let pipeline = socket.pipeline.syncOperations
                    try pipeline.addHandler(Acceptance(connections))
                    try pipeline.addHandler(AcceptBackoffHandler())
                    try pipeline.addHandler(Self.bounding(bound))
                }
            }
            .childChannelInitializer { connection in
                channel.setup(channel: connection, logger: logger).map { connections.setUp(connection, as: $0) }
            }
        let socket: any Channel
        switch place {
        case .address(let address):
            socket =
                try await bootstrap
                .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
                .bind(host: address.host, port: address.port).get()
        case .unixSocket(let path):
            socket = try await bootstrap.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
        case .opened(let opened):
            let backlog = opened.backlog ?? Self.sharedBacklog
            socket =
                try await bootstrap
                .serverChannelOption(ChannelOptions.backlog, value: backlog)
                .withBoundSocket(opened.descriptor).get()
            // NIO may have set the length of the queue to its own.
            _ = listen(opened.descriptor, backlog)
        }
        // Behind what gives the connections their handlers, which is there by now.
        try await socket.eventLoop.submit {
            try socket.pipeline.syncOperations.addHandler(Arrival(connections, arrive, name: name, logger: logger))
        }.get()
        return socket
    }

    private static func bounding(_ bound: some AvailableConnectionsDelegate) -> any ChannelHandler {
        AvailableConnectionsChannelHandler(delegate: bound)
    }

    private static func stop(
        _ socket: any Channel, _ connections: OpenConnections,
        _ arrive: AsyncStream<EventLoopChannel.Value>.Continuation
    ) {
        let arrived = socket.eventLoop.makePromise(of: Void.self)
        arrived.futureResult.whenComplete { _ in
            socket.close(promise: nil)
            arrive.finish()
            quiesce(connections)
        }
        // On the event loop that accepts: no connection is between being accepted and being known.
        socket.eventLoop.execute {
            connections.stop(arrived)
            socket.setOption(ChannelOptions.autoRead, value: false).whenComplete { _ in }
        }
    }

    private static func quiesce(_ connections: OpenConnections) {
        for connection in connections.all {
            connection.eventLoop.execute {
                connection.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
            }
        }
    }
}

/// A listener that could not be opened, in words.
package struct ListenerFailure: Error, CustomStringConvertible {
    package let description: String
}

/// The front of the pipeline that accepts: nothing is accepted that is not known from then on, and nothing any more once
/// the listener stops.
private final class Acceptance: ChannelDuplexHandler {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel
    typealias OutboundIn = Never
    typealias OutboundOut = Never

    private let connections: OpenConnections

    init(_ connections: OpenConnections) {
        self.connections = connections
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        connections.accepted(unwrapInboundIn(data))
        context.fireChannelRead(data)
    }

    func read(context: ChannelHandlerContext) {
        guard !connections.isStopping else { return }
        context.read()
    }
}

/// Its end: connections that are set up are handed on.
private final class Arrival: ChannelInboundHandler {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel

    private let connections: OpenConnections
    private let arrive: AsyncStream<EventLoopChannel.Value>.Continuation
    private let name: String
    private let logger: Logger

    init(
        _ connections: OpenConnections, _ arrive: AsyncStream<EventLoopChannel.Value>.Continuation, name: String,
        logger: Logger
    ) {
        self.connections = connections
        self.arrive = arrive
        self.name = name
        self.logger = logger
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let connection = unwrapInboundIn(data)
        // Gives it to its event loop.
        context.fireChannelRead(data)
        // Before the last one counts as arrived: the stream ends then.
        if let value = connections.value(of: connection) { arrive.yield(value) }
        connections.arrived(connection)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Of one connection, which is closed, or of accepting.
        guard let error = error as? IOError else { return }
        connections.failed(error)
        // Accepting is tried again a second later; after others the socket is closed.
        guard [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error.errnoCode) else { return }
        logger.warning(
            "no connection can be accepted",
            metadata: ["address": "\(name)", "cause": "\(String(cString: strerror(error.errnoCode)))"])
    }
}
