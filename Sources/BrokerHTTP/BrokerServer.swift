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
        // The process's own, which are never shut down: Hummingbird still uses a listener's loop after its service ended.
        let eventLoops = MultiThreadedEventLoopGroup.singleton
        services = [
            Self.listener(
                telemetryRoutes, on: server.telemetryListener, maximumConnections: 100, eventLoops, logger
            ) { await onListening(.telemetry, $0) },
            Self.listener(
                publicRoutes, on: server.publicListener, maximumConnections: server.maximumConnections, eventLoops,
                logger
            ) { await onListening(.public, $0) },
        ]
    }

    package enum Listener: String, Sendable {
        case `public`, telemetry
    }

    private static func listener<Routes: HTTPResponder>(
        _ routes: Routes, on address: ListenAddress, maximumConnections: Int, _ eventLoops: any EventLoopGroup,
        _ logger: Logger, onListening: @escaping @Sendable (SocketAddress) async -> Void
    ) -> any Service where Routes.Context == BrokerRequestContext {
        let channel = Self.channel
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .notice)
        let application = Application(
            responder: routes,
            server: HTTPServerBuilder { EventLoopChannel(base: HTTP1Channel(responder: $0, configuration: channel)) },
            configuration: ApplicationConfiguration(
                address: .hostname(address.host, port: address.port), backlog: 1024,
                availableConnectionsDelegate: MaximumAvailableConnections(maximumConnections, logger: quiet)),
            onServerRunning: { channel in
                guard let address = channel.localAddress else { return }
                await onListening(address)
            },
            eventLoopGroupProvider: .shared(eventLoops),
            logger: quiet)
        return ListenerService(address: address, application: application)
    }

    private static var channel: HTTP1Channel.Configuration {
        // A token of the greatest length in each of two headers, and room for what proxies add.
        let decoder = HTTP1Channel.Configuration.DecoderConfiguration(
            maxHeaderFieldSize: 24 * 1024, maxHeaderListSize: 64 * 1024, maxHeaderFieldCount: 128)
        var channel = HTTP1Channel.Configuration(httpDecoderConfiguration: decoder)
        channel.additionalChannelHandlers = { [ConnectionLimits(.init())] }
        return channel
    }
}

/// A listener that could not be opened, in words.
package struct ListenerFailure: Error, CustomStringConvertible {
    package let description: String
}

private struct ListenerService: Service {
    let address: ListenAddress
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
