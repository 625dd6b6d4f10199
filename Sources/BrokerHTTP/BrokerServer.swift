package import Broker
import FoundationEssentials
import HTTPTypes
import Hummingbird
import HummingbirdCore
package import Logging
package import NIOCore
import NIOHTTP1
import NIOPosix
package import ServiceLifecycle
import Synchronization

/// The broker's listeners. Each is a service that drains on graceful shutdown: it stops accepting, lets what is under way
/// finish, and closes idle connections.
package struct BrokerServer: Sendable {
    /// Public and telemetry, in the order in which they are to start.
    package let services: [any Service]

    /// - Parameters:
    ///   - exchange: what each request goes through that begins at that moment.
    ///   - issuers: those of the moment, for readiness.
    ///   - signIn: what each device and each refresh token goes through at that moment; nil where nobody signs in here.
    ///   - trustBundles: what the certificates of connections are checked against.
    ///   - signInPlace: where people approve devices; nil where nobody signs in here.
    ///   - storeOutage: since when and why the store does not record, if it does not; callable from any thread.
    ///   - recent: where refusals of `/verify` are kept.
    ///   - tls: of the public listener; nil for plain HTTP.
    ///   - sockets: those that are open already, which take the place of the configured addresses.
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
        revocations: Revocations, signIn: (@Sendable () -> SignIn)? = nil, trustBundles: TrustBundles? = nil,
        signInPlace: SignInPlace? = nil,
        clock: any BrokerClock, storeOutage: @escaping @Sendable () async -> Outage?, metrics: BrokerMetrics,
        recent: RecentRefusals = RecentRefusals(), logger: Logger, tls: TLSListener? = nil,
        sockets: ListeningSockets = ListeningSockets(),
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
                access: access, signIn: signIn),
            feed: RevocationFeed(revocations: revocations, access: access),
            signIn: signIn.map { SignInRoutes(token: token, publicURL: server.publicURL, signIn: $0) },
            pages: signIn.flatMap { signIn in
                signInPlace.map { place in
                    SignInPages(
                        place: place, signIn: signIn, limits: token.limits, publicURL: server.publicURL, clock: clock,
                        logger: logger)
                }
            })
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
                telemetryRoutes, on: server.telemetryListener, opened: sockets.telemetry,
                MaximumAvailableConnections(Self.telemetryConnections, logger: quiet), nil, nil, Self.telemetryLoop,
                quiet, Self.channel { ConnectionLimits(.init()) }
            ) { await onListening(.telemetry, $0) },
            Self.listener(
                CountedRoutes(routes: publicRoutes, metrics: metrics.requests), on: server.publicListener,
                opened: sockets.public,
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

    /// - Parameter opened: takes the place of `address`.
    static func listener<Routes: HTTPResponder>(
        _ routes: Routes, on address: ListenAddress, opened: ListeningSocket? = nil,
        _ connections: some AvailableConnectionsDelegate,
        _ shares: ConnectionShares?, _ tls: TLSListener?, _ eventLoops: any EventLoopGroup, _ logger: Logger,
        _ channel: HTTP1Channel.Configuration, fastPath: FastPath? = nil,
        onListening: @escaping @Sendable (SocketAddress) async -> Void
    ) -> any Service where Routes.Context == BrokerRequestContext {
        listener(
            routes, at: opened.map { .opened($0) } ?? .address(address), named: "\(address)", connections, eventLoops,
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
        _ routes: Routes, at place: ListenerService.Place, named name: String,
        _ connections: some AvailableConnectionsDelegate,
        _ eventLoops: any EventLoopGroup, _ logger: Logger,
        channel: (@escaping HTTPChannelHandler.Responder) -> EventLoopChannel,
        onListening: @escaping @Sendable (SocketAddress) async -> Void
    ) -> any Service where Routes.Context == BrokerRequestContext {
        ListenerService(
            place: place, name: name, bound: connections, eventLoops: eventLoops,
            channel: channel(responder(routes, logger)), logger: logger, onListening: onListening)
    }

    /// Answers a request with its route; what a route throws is answered 500.
    private static func responder<Routes: HTTPResponder>(
        _ routes: Routes, _ logger: Logger
    ) -> HTTPChannelHandler.Responder where Routes.Context == BrokerRequestContext {
        let date = CurrentDate()
        return { (request: Request, writer: consuming ResponseWriter, channel: any Channel) in
            let context = BrokerRequestContext(
                source: ApplicationRequestContextSource(channel: channel, logger: logger))
            var response: Response
            do {
                response = try await routes.respond(to: request, context: context)
            } catch let error as HTTPParserError {
                // Its answer is that of the connection.
                throw error
            } catch {
                logger.debug("a route failed", metadata: ["error": "\(error)"])
                response = Response(status: .internalServerError)
            }
            response.headers[.date] = date.text
            do {
                try await writer.write(response: response.head, body: response.body)
            } catch is HTTPParserError {
                // Of the request's body; not thrown as it is, or a second answer would follow the one that has begun.
                throw InterruptedResponse()
            }
        }
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

/// That the request broke off while it was being answered.
private struct InterruptedResponse: Error {}

/// The field `Date` of answers; callable from any thread.
private final class CurrentDate: Sendable {
    private let date = Mutex(HTTPDate())

    var text: String {
        let now = Date()
        return date.withLock { date in
            date.update(to: now)
            return date.text
        }
    }
}
