package import Broker
import Glibc
import Hummingbird
import HummingbirdCore
package import JOSE
package import Logging
package import NIOCore
import NIOPosix
package import ServiceLifecycle

/// The administration listeners: the Unix socket, and TLS where it is configured. The same routes on both; they differ in
/// how they know who asks, and neither can hold up the other: each has a thread of its own.
package struct AdministrationServer: Sendable {
    /// The socket first.
    package let services: [any Service]

    /// - Parameters:
    ///   - verifier: of the tokens that come over TLS.
    ///   - issuer: the broker itself, whom they have to be for.
    ///   - trustBundles: what the certificates of connections are checked against.
    ///   - tls: of the listener on the network; nil where there is none.
    ///   - opened: a Unix socket that listens already, in the place of the configured one. Who may connect to it is up to
    ///     who opened it; who is answered is not.
    ///   - onListening: told the address of each listener once it accepts connections; of the socket its path.
    ///   - isMember: whether a user is in a group; it may block.
    /// - Throws: where `server.admin.group` is not there.
    package init(
        _ configuration: AdministrationConfiguration, _ administration: Administration, verifier: TokenVerifier,
        issuer: ExactString, trustBundles: TrustBundles? = nil, clock: any BrokerClock, logger: Logger,
        tls: TLSListener? = nil, opened: ListeningSocket? = nil,
        connectionBounds: ConnectionBounds = ConnectionBounds(),
        onListening: @escaping @Sendable (SocketAddress) async -> Void = { _ in },
        isMember: @escaping @Sendable (_ uid: UInt32, _ group: UInt32) -> Bool = UserDatabase.isMember
    ) throws(ListenerFailure) {
        let socket = try AdministrationSocket(configuration)
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .notice)
        let channel = BrokerServer.channel { ConnectionLimits(connectionBounds) }.owningBodies
        let routes = { (proof: AdministrationAccess.Proof) in
            AdministrationRoutes(
                administration: administration, access: AdministrationAccess(proof, clock: clock, logger: logger),
                clock: clock)
        }
        let permission = SocketPermission(
            members: socket.group.map { GroupMembers($0, timers: Self.socketLoop.next(), isMember: isMember) })
        let places = SocketPlaces(clock: clock, logger: logger)
        let onSocket = SocketService(
            socket: opened == nil ? socket : nil,
            listener: BrokerServer.listener(
                routes(.peer(permission)), at: opened.map { .opened($0) } ?? .unixSocket(path: socket.path),
                named: socket.path,
                MaximumAvailableConnections(SocketPlaces.capacity, logger: quiet), Self.socketLoop, quiet
            ) {
                EventLoopChannel(
                    base: HTTP1Channel(responder: $0, configuration: channel), shares: nil, tls: nil,
                    socketPlaces: places)
            } onListening: { address in
                do throws(ListenerFailure) {
                    if opened == nil { try socket.open() }
                } catch {
                    // Under the umask of the broker nobody else can use it as it is.
                    logger.error("the administration socket stays closed to its group", metadata: ["cause": "\(error)"])
                }
                await onListening(address)
            })
        guard let network = configuration.network, let tls else {
            services = [onSocket]
            return
        }
        let certificates = PresentedCertificates(
            proxies: TrustedProxies([]), forwarding: nil,
            certificates: trustBundles.map { bundles in X509SVIDAuthenticator { bundles.current } } ?? .none,
            clock: clock)
        let shares = ConnectionShares(
            connections: Self.connections,
            refusals: LimitRefusals(
                metrics: RequestMetrics(maximumConnections: Self.connections), clock: clock, logger: logger))
        services = [
            onSocket,
            BrokerServer.listener(
                routes(.token(verifier, issuer: issuer, certificates)),
                at: .address(network.address), named: "\(network.address)",
                MaximumAvailableConnections(Self.connections, logger: quiet), Self.networkLoop, quiet
            ) {
                EventLoopChannel(
                    base: HTTP1Channel(responder: $0, configuration: channel), shares: shares, tls: tls)
            } onListening: {
                await onListening($0)
            },
        ]
    }

    /// Of each listener.
    package static let connections = SocketPlaces.capacity

    /// A thread of its own, as the telemetry listener has: revoking works while the other listeners are busy.
    static let socketLoop = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    static let networkLoop = MultiThreadedEventLoopGroup(numberOfThreads: 1)
}

/// The listener on the Unix socket, with the file that it is reached by.
private struct SocketService: Service {
    /// Nil where the socket is not ours.
    let socket: AdministrationSocket?
    let listener: any Service

    func run() async throws {
        guard let socket else { return try await listener.run() }
        try socket.prepare()
        defer { socket.remove() }
        try await listener.run()
    }
}
