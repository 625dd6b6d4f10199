import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import Synchronization

/// An HTTP/1 connection whose requests are answered on the connection's own event loop.
///
/// Left to itself a request would travel to Swift's pool of threads and back, which costs more than the work between: two
/// thread switches each way. What blocks for long never runs here: the store and the resolver have queues of their own.
struct EventLoopChannel: ServerChildChannel {
    struct Value: ServerChildChannelValue {
        let base: HTTP1Channel.Value
        /// Nil without TLS.
        let identity: ConnectionIdentity?
        /// Nil but on a Unix socket.
        let peer: SocketPeer?
        fileprivate let handover: Handover

        fileprivate init(_ base: HTTP1Channel.Value, _ identity: ConnectionIdentity?, _ peer: SocketPeer?) {
            self.base = base
            self.identity = identity
            self.peer = peer
            handover = Handover(base)
        }

        var channel: any Channel { base.channel }
    }

    let base: HTTP1Channel
    /// Nil where no address is limited.
    let shares: ConnectionShares?
    /// Nil for plain HTTP.
    let tls: TLSListener?
    /// Nil but on a Unix socket.
    var socketPlaces: SocketPlaces?
    /// Nil where the router answers everything.
    var fastPath: FastPath?

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        // First: what is closed at once costs no handshake.
        guard shares?.admit(channel) ?? true else {
            return channel.eventLoop.makeFailedFuture(ChannelError.ioOnClosedChannel)
        }
        let identity: ConnectionIdentity?
        do {
            if tls != nil { try channel.pipeline.syncOperations.addHandler(ConnectionCut()) }
            identity = try tls?.secure(channel)
        } catch {
            logger.error("a connection could not be given TLS", metadata: ["error": "\(error)"])
            return channel.eventLoop.makeFailedFuture(error)
        }
        let value: EventLoopFuture<HTTP1Channel.Value>
        do {
            let gate = fastPath?.gate(of: channel, identity: identity)
            if let gate { try channel.pipeline.syncOperations.addHandler(gate) }
            value = base.setup(channel: channel, logger: logger)
            try fastPath?.complete(channel, identity: identity, gate: gate)
        } catch {
            return channel.eventLoop.makeFailedFuture(error)
        }
        guard let socketPlaces else { return value.map { Value($0, identity, nil) } }
        let peer = SocketPeer.of(channel).flatMapThrowing { peer in
            guard socketPlaces.admit(channel, peer) else { throw ChannelError.ioOnClosedChannel }
            return peer
        }
        return value.and(peer).map { Value($0, identity, $1) }
    }

    func handle(value: Value, logger: Logger) async {
        value.handover.isDone.store(true, ordering: .relaxed)
        await ConnectionIdentity.$current.withValue(value.identity) {
            await SocketPeer.$current.withValue(value.peer) {
                await withTaskExecutorPreference(EventLoopExecutor(value.channel.eventLoop)) {
                    await base.handle(value: value.base, logger: logger)
                }
            }
        }
    }
}

/// Ends a connection that nobody takes, as where a listener is cancelled while it accepts.
///
/// Whoever holds the last of such a connection has to finish it, or NIO ends the process.
private final class Handover: Sendable {
    let isDone = Atomic(false)
    private let connection: HTTP1Channel.Value

    init(_ connection: HTTP1Channel.Value) {
        self.connection = connection
    }

    deinit {
        guard !isDone.load(ordering: .relaxed) else { return }
        let connection = connection
        // It is finished once it is closed.
        connection.channel.closeFuture.whenComplete { _ in withExtendedLifetime(connection) {} }
        connection.channel.close(promise: nil)
    }
}

/// Runs tasks on an event loop.
final class EventLoopExecutor: TaskExecutor {
    private let eventLoop: any EventLoop

    init(_ eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        eventLoop.execute {
            job.runSynchronously(on: self.asUnownedTaskExecutor())
        }
    }
}
