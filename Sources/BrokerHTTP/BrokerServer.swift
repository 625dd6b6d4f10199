package import Broker
import Glibc
import HTTPTypes
import Hummingbird
import HummingbirdCore
package import Logging
package import NIOCore
import NIOPosix
package import ServiceLifecycle

/// The broker's listeners. Each is a service that drains on graceful shutdown: it stops accepting, lets what is under way
/// finish, and closes idle connections.
package struct BrokerServer: Sendable {
    /// Public and telemetry, in the order in which they are to start.
    package let services: [any Service]

    /// - Parameters:
    ///   - exchange: what each request goes through that begins at that moment.
    ///   - issuers: those of the moment, for readiness.
    ///   - trustBundles: what the certificates of connections are checked against.
    ///   - storeOutage: since when and why the store does not record, if it does not; callable from any thread.
    ///   - recent: where refusals of `/verify` are kept.
    ///   - tls: of the public listener; nil for plain HTTP.
    ///   - eventLoops: those of the public listener. They are never shut down: Hummingbird still uses a connection's loop
    ///     after its service ended.
    ///   - connectionBounds: what each connection to the public listener is given.
    ///   - loopBounds: what each event loop of it may be given at once.
    ///   - fastPath: what stands in front of the public listener's router.
    ///   - onListening: told the address of each listener once it accepts connections.
    package init(
        configuration: BrokerConfiguration, exchange: @escaping @Sendable () -> TokenExchange,
        verifier: TokenVerifier,
        state: @escaping @Sendable () -> BrokerState, issuers: @escaping @autoclosure @Sendable () -> [TrustedIssuer],
        revocations: Revocations, trustBundles: TrustBundles? = nil,
        clock: any BrokerClock, storeOutage: @escaping @Sendable () async -> Outage?, metrics: BrokerMetrics,
        recent: RecentRefusals = RecentRefusals(), logger: Logger, tls: TLSListener? = nil,
        eventLoops: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        connectionBounds: ConnectionBounds = ConnectionBounds(), loopBounds: LoopBounds = LoopBounds(),
        fastPath layers: FastPathLayers = .all,
        onListening: @escaping @Sendable (Listener, SocketAddress) async -> Void = { _, _ in }
    ) {
        let server = configuration.server
        let refusals = LimitRefusals(metrics: metrics.requests, clock: clock, logger: logger, recent: recent)
        let svids = trustBundles.map { bundles in X509SVIDAuthenticator { bundles.current } } ?? .none
        let certificates = PresentedCertificates(
            proxies: TrustedProxies(server.trustedProxies), forwarding: server.publicTLS?.forwardedCertificates,
            certificates: svids, clock: clock)
        let access = RouteAccess(
            access: BrokerAccess(
                verifier: verifier, certificates: svids, rules: { exchange().rules }, state: state, clock: clock),
            certificates: certificates)
        let token = TokenRoute(
            exchange: exchange,
            limits: ExchangeLimits(server, clock: clock, refusals: refusals, loopBounds: loopBounds),
            certificates: certificates)
        let publicRoutes = PublicRoutes(
            token: token, federation: FederationRoute(token: token),
            keys: KeyRoutes(
                configuration: configuration,
                takesCertificates: {
                    // As the listener does: a reload brings the first trust domain, or takes the last.
                    server.publicTLS?.requestsClientCertificates == true
                        && !(trustBundles?.trustDomains ?? configuration.trustDomains.map(\.name)).isEmpty
                }, state: state),
            verify: VerifyRoute(
                endpoint: VerifyEndpoint(
                    verifier: verifier, proxies: TrustedProxies(server.trustedProxies), clock: clock,
                    metrics: metrics.verify, recent: recent),
                certificates: certificates),
            revocation: RevocationRoutes(
                token: token,
                revocation: TokenRevocation(
                    verifier: verifier, certificates: svids, revocations: revocations, clock: clock),
                introspection: TokenIntrospection(
                    verifier: verifier, issuer: configuration.tokens.issuer, clock: clock),
                access: access),
            feed: RevocationFeed(revocations: revocations, access: access))
        let telemetryRoutes = TelemetryRoutes(
            readiness: Readiness(
                issuers: issuers(), trustBundles: trustBundles, tls: metrics.tls, signingKeys: metrics.signingKeys,
                revocations: revocations,
                storeOutage: storeOutage),
            metrics: metrics)
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .notice)
        services = [
            Self.listener(
                telemetryRoutes, on: server.telemetryListener,
                MaximumAvailableConnections(Self.telemetryConnections, logger: quiet), nil, nil, Self.telemetryLoop,
                quiet, Self.channel { ConnectionLimits(.init()) }
            ) { await onListening(.telemetry, $0) },
            Self.listener(
                CountedRoutes(routes: publicRoutes, metrics: metrics.requests), on: server.publicListener,
                CountedConnections(
                    bound: MaximumAvailableConnections(server.limits.connections, logger: quiet),
                    metrics: metrics.requests),
                ConnectionShares(server, refusals: refusals), tls, eventLoops, quiet,
                Self.channel { ConnectionLimits(connectionBounds, refusals: refusals) },
                fastPath: FastPath(routes: publicRoutes, metrics: metrics.requests, layers: layers)
            ) { await onListening(.public, $0) },
        ]
    }

    /// A scraper or two and an orchestrator.
    private static let telemetryConnections = 100

    package enum Listener: String, Sendable {
        case `public`, telemetry
    }

    /// A thread of its own, for as long as the process lives: whatever the public listener is busy with, the kernel gives
    /// this one its turn; and a long scrape holds up nobody.
    private static let telemetryLoop = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    static func listener<Routes: HTTPResponder>(
        _ routes: Routes, on address: ListenAddress, _ connections: some AvailableConnectionsDelegate,
        _ shares: ConnectionShares?, _ tls: TLSListener?, _ eventLoops: any EventLoopGroup, _ logger: Logger,
        _ channel: HTTP1Channel.Configuration, fastPath: FastPath? = nil,
        onListening: @escaping @Sendable (SocketAddress) async -> Void
    ) -> any Service where Routes.Context == BrokerRequestContext {
        listener(
            routes, at: .hostname(address.host, port: address.port), named: "\(address)", connections, eventLoops,
            logger
        ) {
            EventLoopChannel(
                base: HTTP1Channel(responder: $0, configuration: channel), shares: shares, tls: tls,
                fastPath: fastPath)
        } onListening: {
            await onListening($0)
        }
    }

    /// - Parameter name: of the address, for messages.
    static func listener<Routes: HTTPResponder>(
        _ routes: Routes, at address: BindAddress, named name: String, _ connections: some AvailableConnectionsDelegate,
        _ eventLoops: any EventLoopGroup, _ logger: Logger,
        channel: @escaping @Sendable (@escaping HTTPChannelHandler.Responder) -> EventLoopChannel,
        onListening: @escaping @Sendable (SocketAddress) async -> Void
    ) -> any Service where Routes.Context == BrokerRequestContext {
        let application = Application(
            responder: routes, server: HTTPServerBuilder { channel($0) },
            configuration: ApplicationConfiguration(
                address: address, backlog: 1024, availableConnectionsDelegate: connections),
            onServerRunning: { channel in
                guard let address = channel.localAddress else { return }
                await onListening(address)
            },
            eventLoopGroupProvider: .shared(eventLoops),
            logger: logger)
        return ListenerService(address: name, application: application)
    }

    static func channel(_ limits: @escaping @Sendable () -> ConnectionLimits) -> HTTP1Channel.Configuration {
        // A token of the greatest length in each of two headers, and room for what proxies add.
        let decoder = HTTP1Channel.Configuration.DecoderConfiguration(
            maxHeaderFieldSize: 24 * 1024, maxHeaderListSize: 64 * 1024, maxHeaderFieldCount: 128)
        var channel = HTTP1Channel.Configuration(httpDecoderConfiguration: decoder)
        channel.additionalChannelHandlers = { [limits()] }
        return channel
    }
}

/// A listener that could not be opened, in words.
package struct ListenerFailure: Error, CustomStringConvertible {
    package let description: String
}

private struct ListenerService: Service {
    let address: String
    let application: any Service

    func run() async throws {
        do {
            try await application.run()
        } catch let error as IOError {
            throw ListenerFailure(
                description: "cannot listen on \(address): \(String(cString: strerror(error.errnoCode)))")
        }
    }
}
