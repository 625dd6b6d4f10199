package import Broker
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
    ///   - storeFailure: why the store does not record, if it does not; callable from any thread.
    ///   - onListening: told the address of each listener once it accepts connections.
    package init(
        configuration: BrokerConfiguration, exchange: TokenExchange, verifier: TokenVerifier,
        keyRing: @escaping @Sendable () -> KeyRing, issuers: [TrustedIssuer], clock: any BrokerClock,
        storeFailure: @escaping @Sendable () async -> String?, logger: Logger,
        onListening: @escaping @Sendable (Listener, SocketAddress) async -> Void = { _, _ in }
    ) {
        let publicRoutes = PublicRoutes(
            token: TokenRoute(exchange: exchange), keys: KeyRoutes(configuration: configuration, keyRing: keyRing),
            verify: VerifyRoute(verifier: verifier, clock: clock))
        let telemetryRoutes = TelemetryRoutes(issuers: issuers, storeFailure: storeFailure)
        let server = configuration.server
        services = [
            Self.application(
                telemetryRoutes, server.telemetryListener, maximumConnections: 100, logger
            ) { await onListening(.telemetry, $0) },
            Self.application(
                publicRoutes, server.publicListener, maximumConnections: server.maximumConnections, logger
            ) { await onListening(.public, $0) },
        ]
    }

    package enum Listener: String, Sendable {
        case `public`, telemetry
    }

    private static func application<Routes: HTTPResponder>(
        _ routes: Routes, _ address: ListenAddress, maximumConnections: Int, _ logger: Logger,
        onListening: @escaping @Sendable (SocketAddress) async -> Void
    ) -> Application<Routes> where Routes.Context == BrokerRequestContext {
        // A token of the greatest length in each of two headers, and room for what proxies add.
        let decoder = HTTP1Channel.Configuration.DecoderConfiguration(
            maxHeaderFieldSize: 24 * 1024, maxHeaderListSize: 64 * 1024, maxHeaderFieldCount: 128)
        var channel = HTTP1Channel.Configuration(httpDecoderConfiguration: decoder)
        channel.additionalChannelHandlers = { [ConnectionLimits(.init())] }
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .notice)
        return Application(
            responder: routes, server: .http1(configuration: channel),
            configuration: ApplicationConfiguration(
                address: .hostname(address.host, port: address.port), backlog: 1024,
                availableConnectionsDelegate: MaximumAvailableConnections(maximumConnections, logger: quiet)),
            onServerRunning: { channel in
                guard let address = channel.localAddress else { return }
                await onListening(address)
            },
            logger: quiet)
    }
}
