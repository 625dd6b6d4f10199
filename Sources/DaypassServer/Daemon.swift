// How the broker is put together: every part is made here, in the order in which the parts depend on each other.
import Broker
import BrokerHTTP
import BrokerSQLite
import Foundation
import JOSE
import Logging
import NIOCore
import ServiceLifecycle
import SPIFFE
import UnixSignals

/// The whole broker over one configuration.
struct Daemon: Sendable {
    let store: SQLiteStore
    private let configuration: BrokerConfiguration
    private let issuers: [TrustedIssuer]
    private let trustBundles: TrustBundles
    private let bundleEndpoints: [EndpointBundle]
    private let state: StateHolder
    private let revocations: Revocations
    /// When the last audit record was made before the start.
    private let lastRecord: Date?
    private let clock: any BrokerClock
    private let storeMetrics = StoreMetrics()
    private let logger: Logger

    /// Opens everything that serving needs.
    /// - Parameter acceptsEarlierClock: whether to serve also where the clock is behind the audit record.
    /// - Throws: a `CommandFailure` that says what is missing or damaged; nothing is left open then.
    init(
        _ configuration: BrokerConfiguration, clock: any BrokerClock = SystemClock(), acceptsEarlierClock: Bool = false,
        logger: Logger
    ) async throws {
        self.configuration = Self.fitting(configuration, logger)
        self.clock = clock
        trustBundles = TrustBundles(configuration.trustDomains, clock: clock)
        self.logger = logger
        let masterKey = try MasterKeyFile.read(configuration.masterKeyFile)
        store = try Self.openStore(configuration, .existing, logger, storeMetrics)
        do {
            lastRecord = try await store.lastAuditTime()
            try StartTime.check(clock.now, against: lastRecord, accepting: acceptsEarlierClock, logger)
            let keyRing = try KeyRing(opening: await store.signingKeys(), with: masterKey)
            let state = StateHolder(BrokerState(keyRing: keyRing))
            self.state = state
            revocations = Revocations(store, publishedIn: state, clock: clock, logger: logger)
            try await revocations.restore()
            store.ask { state.current.revocations }
            let names = configuration.issuers.map { ($0.name, $0.issuer) }
            try await store.bind(Dictionary(uniqueKeysWithValues: names))
            let resolver = SystemResolver()
            let fetcher = GuardedFetcher(resolver: resolver)
            issuers = try configuration.issuers.map { try TrustedIssuer($0, fetcher: fetcher, clock: clock) }
            bundleEndpoints = try await Self.endpoints(
                of: configuration.trustDomains, trustBundles, resolver, store, masterKey, clock, logger)
        } catch {
            await store.close()
            throw CommandFailure("\(error)")
        }
    }

    /// The bundles that come from endpoints, each as it was at the last stop.
    private static func endpoints(
        of trustDomains: [TrustDomainConfiguration], _ bundles: TrustBundles, _ resolver: SystemResolver,
        _ store: SQLiteStore, _ masterKey: MasterKey, _ clock: any BrokerClock, _ logger: Logger
    ) async throws -> [EndpointBundle] {
        var endpoints: [EndpointBundle] = []
        for domain in trustDomains {
            guard case .endpoint(let endpoint) = domain.bundle else { continue }
            let fetcher = try endpoint.fetcher(resolver: resolver, bundles: { bundles.current }, clock: clock)
            var bundle = EndpointBundle(
                domain.name, endpoint, fetcher: fetcher, bundles: bundles, store: store, masterKey: masterKey,
                clock: clock)
            if let reason = try await bundle.restore() {
                logger.warning(
                    "a stored trust bundle cannot be used: the endpoint is asked for one",
                    metadata: ["trust_domain": "\(domain.name)", "reason": "\(reason)"])
            }
            endpoints.append(bundle)
        }
        return endpoints
    }

    /// The configuration with no more connections than the process may have files open: beyond that no listener, not
    /// even that of telemetry, could accept one, and no keys could be fetched.
    private static func fitting(_ configuration: BrokerConfiguration, _ logger: Logger) -> BrokerConfiguration {
        let files = Process.raiseOpenFiles()
        let room = max(16, files - reservedFiles)
        guard configuration.server.limits.connections > room else { return configuration }
        logger.warning(
            "fewer connections than configured: the process may open too few files",
            metadata: [
                "connections": "\(room)", "configured": "\(configuration.server.limits.connections)",
                "open_files": "\(files)",
            ])
        var fitting = configuration
        fitting.server.limits.connections = room
        return fitting
    }

    /// For the connections of the telemetry listener, the store, and fetching keys.
    private static let reservedFiles = 200

    static func openStore(
        _ configuration: BrokerConfiguration, _ opening: SQLiteStore.Opening, _ logger: Logger,
        _ metrics: StoreMetrics = .disabled
    ) throws -> SQLiteStore {
        guard case .sqlite(let path) = configuration.store else { throw CommandFailure("no such store") }
        do {
            return try SQLiteStore(
                path: path, opening, logger: logger, reserve: SQLiteStore.standardReserve, metrics: metrics)
        } catch {
            throw CommandFailure("\(error)")
        }
    }

    /// Serves until it is shut down, and returns when everything is drained and the store is closed.
    func run(
        stoppingOnSignals: Bool,
        onListening: @escaping @Sendable (BrokerServer.Listener, SocketAddress) async -> Void = { _, _ in }
    ) async throws {
        let (state, bundles) = (state, trustBundles)
        let metrics = BrokerMetrics(
            configuration, issuers: issuers, trustBundles: trustBundles, revocations: revocations, store: storeMetrics)
        let mint = TokenMint(issuer: configuration.tokens.issuer, state: { state.current }, random: SystemRandom())
        let verifier = TokenVerifier(
            tokens: configuration.tokens, policy: configuration.verify, state: { state.current })
        let exchange = TokenExchange(
            authenticator: JWTAuthenticator(
                issuers, svids: JWTSVIDAuthenticator(configuration.trustDomains) { bundles.current }),
            certificates: X509SVIDAuthenticator { bundles.current }, rules: configuration.rules, mint: mint,
            verifier: verifier,
            store: store, keptClaims: configuration.audit.claims, clock: clock, logger: logger,
            metrics: metrics.exchange)
        let (store, logger) = (store, logger)
        let certificate = try await serverCertificate(metrics)
        let tls = certificate.map { listener($0, metrics) }
        let server = BrokerServer(
            configuration: configuration, exchange: exchange, verifier: verifier, state: { state.current },
            issuers: issuers,
            revocations: revocations, trustBundles: bundles, clock: clock,
            storeOutage: { await store.check().map { Outage(since: $0.since, cause: "\($0.failure)") } },
            metrics: metrics, logger: logger, tls: tls
        ) { listener, address in
            let place = ListenAddress(host: address.ipAddress ?? "", port: address.port ?? 0)
            logger.notice("listening", metadata: ["listener": "\(listener.rawValue)", "address": "\(place)"])
            await onListening(listener, address)
        }
        // They stop in the opposite order: the store last, when nobody can write to it any more.
        let services: [any Service] =
            [
                StoreService(store: store),
                StoreKeeping(
                    pruning: StorePruning(
                        store, retention: configuration.audit.retention, lastRecord: lastRecord, clock: clock,
                        logger: logger)),
                RevocationKeeping(
                    revocations: revocations,
                    pruning: RevocationPruning(
                        revocations, agreement: ClockAgreement(clock, lastRecord: lastRecord), clock: clock,
                        logger: logger)),
                IssuerKeysRefresher(issuers.map(\.keys), logger: logger),
                BundleFileReader(configuration.trustDomains, bundles: bundles, logger: logger),
                BundleEndpointPoller(bundleEndpoints, logger: logger),
            ] + (certificate.map { [ServerCertificateReloader($0)] } ?? []) + server.services
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .notice)
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: services.map { .init(service: $0) },
                gracefulShutdownSignals: stoppingOnSignals ? [.sigterm, .sigint] : [], logger: quiet))
        do {
            try await group.run()
        } catch {
            await store.close()
            throw CommandFailure("\(error)")
        }
    }
}

extension Daemon {
    private func serverCertificate(_ metrics: BrokerMetrics) async throws -> ServerCertificate? {
        guard let tls = configuration.server.publicTLS else { return nil }
        do {
            return try ServerCertificate(tls, clock: clock, metrics: metrics.tls, logger: logger)
        } catch {
            await store.close()
            throw CommandFailure("\(error)")
        }
    }

    private func listener(_ certificate: ServerCertificate, _ metrics: BrokerMetrics) -> TLSListener {
        let bundles = trustBundles
        let validator = configuration.requestsClientCertificates ? X509SVIDValidator { bundles.current } : nil
        return TLSListener(certificate, validator: validator, clock: clock, metrics: metrics.tls, logger: logger)
    }
}

/// Keeps the store open while anything may write to it.
private struct StoreService: Service {
    let store: SQLiteStore

    func run() async throws {
        try? await gracefulShutdown()
        await store.close()
    }
}
