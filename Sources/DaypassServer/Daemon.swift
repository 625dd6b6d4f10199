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
    private let trustBundles: TrustBundles
    /// At start.
    private let policy: Policy
    private let maker: PolicyMaker
    private let reading: Reloader.Reading?
    private let state: StateHolder
    /// Moves the signing keys.
    let rotation: KeyRotation
    private let revocations: Revocations
    private let credentials: ProviderCredentials
    /// When the last audit record was made before the start.
    private let lastRecord: Date?
    private let generation: StoreGeneration
    /// What is in no audit record.
    private let recent: RecentRefusals
    private let clock: any BrokerClock
    private let storeMetrics = StoreMetrics()
    private let signingKeyMetrics = SigningKeyMetrics()
    private let logger: Logger

    /// Opens everything that serving needs.
    /// - Parameters:
    ///   - acceptsEarlierClock: whether to serve also where the clock is behind the audit record.
    ///   - reading: reads the configuration again, on SIGHUP; nil where it is not in a file.
    /// - Throws: a `CommandFailure` that says what is missing or damaged; nothing is left open then.
    init(
        _ configuration: BrokerConfiguration, clock: any BrokerClock = SystemClock(), acceptsEarlierClock: Bool = false,
        reading: Reloader.Reading? = nil, logger: Logger
    ) async throws {
        self.reading = reading
        self.configuration = Self.fitting(configuration, logger)
        self.clock = clock
        recent = RecentRefusals(clock: clock)
        trustBundles = TrustBundles(configuration.trustDomains, clock: clock)
        self.logger = logger
        let masterKey = try MasterKeyFile.read(configuration.masterKeyFile)
        store = try Self.openStore(configuration, .existing, logger, storeMetrics)
        do {
            lastRecord = try await store.lastAuditTime()
            try StartTime.check(clock.now, against: lastRecord, accepting: acceptsEarlierClock, logger)
            generation = try await store.generation()
            let keys = try await store.signingKeys()
            let state = StateHolder(BrokerState(keyRing: try KeyRing(opening: keys, with: masterKey)))
            self.state = state
            // The master key is known to be the store's by now.
            try await AuditStart.begin(store, configuration.audit, masterKey, clock: clock, logger)
            revocations = Revocations(store, publishedIn: state, clock: clock, logger: logger)
            try await revocations.restore()
            store.ask { state.current.revocations }
            rotation = try KeyRotation(
                store, holding: keys, sealedWith: masterKey, configuration.tokens.signing, publishingIn: state,
                revoking: revocations, lastRecord: lastRecord, clock: clock, metrics: signingKeyMetrics, logger: logger)
            credentials = try await Self.openCredentials(store, masterKey, clock, logger)
            maker = PolicyMaker(
                trustBundles: trustBundles, store: store, masterKey: masterKey, clock: clock, logger: logger)
            // As it was read: a reload compares with it.
            policy = try await maker.policy(of: configuration)
            try await store.bind(configuration.issuersByName)
            for line in revocations.unmatchedBlocks(in: configuration, at: clock.now) { logger.warning("\(line)") }
        } catch {
            await store.close()
            throw CommandFailure("\(error)")
        }
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

    /// For the connections of the telemetry and the administration listeners, the store, and fetching keys.
    private static let reservedFiles = 200 + 2 * AdministrationServer.connections

    /// - Throws: where one was sealed with another master key. One that is damaged keeps nobody from a token: it is logged.
    private static func openCredentials(
        _ store: SQLiteStore, _ masterKey: MasterKey, _ clock: any BrokerClock, _ logger: Logger
    ) async throws -> ProviderCredentials {
        let rows = try await store.sealedRows()
        for version in try ProviderCredentials.damaged(among: rows, sealedWith: masterKey) {
            logger.error(
                "a provider's credential does not open: its row was altered or damaged",
                metadata: ["provider": "\(version.provider)", "version": "\(version.number)"])
        }
        return ProviderCredentials(store, sealedWith: masterKey, clock: clock)
    }

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
    /// - Parameters:
    ///   - sockets: those that are open already, in the place of the configured ones.
    ///   - notifying: the socket of whoever wants to know that it serves.
    func run(
        stoppingOnSignals: Bool, sockets: ListeningSockets = ListeningSockets(), notifying: String? = nil,
        onListening: @escaping @Sendable (BrokerServer.Listener, SocketAddress) async -> Void = { _, _ in }
    ) async throws {
        let (state, bundles, issuers) = (state, trustBundles, Published(policy.issuers))
        let inForce = Published(policy.configuration)
        let cache = VerificationCache(entries: configuration.verify.cacheEntries)
        let metrics = BrokerMetrics(
            configuration, issuers: issuers.current, trustBundles: trustBundles, revocations: revocations,
            verificationCache: cache, store: storeMetrics, signingKeys: signingKeyMetrics)
        let latestExpiry = LatestExpiry()
        let mint = TokenMint(
            issuer: configuration.tokens.issuer, state: { state.current }, random: SystemRandom(),
            latestExpiry: latestExpiry)
        let verifier = TokenVerifier(
            tokens: configuration.tokens, policy: configuration.verify, state: state, cache: cache,
            failures: FailedVerifications(
                perSecond: configuration.verify.failuresPerSecondPerAddress, clock: clock))
        let decide = exchanges(mint, verifier, metrics)
        let exchange = Published(decide(policy))
        let place: SignInPlace?
        do {
            place = try signInPlace { issuers.current }
        } catch {
            await store.close()
            throw error
        }
        let logouts = LogoutTokens { [name = configuration.signIn?.issuer] in
            issuers.current.first { $0.configuration.name == name }
        }
        let decideSignIn = place.map { signIns($0, logouts, mint, metrics) }
        let signIn = decideSignIn.map { Published($0(policy)) }
        var currentSignIn: (@Sendable () -> SignIn)?
        if let signIn { currentSignIn = { signIn.current } }
        let (sources, changes) = AsyncStream<[Source]>.makeStream(bufferingPolicy: .bufferingNewest(1))
        changes.yield(maker.sources(of: policy))
        let reloader = reading.map { [maker, revocations] reading in
            Reloader(policy, read: reading, maker: maker, revocations: revocations) { next in
                metrics.exchange.configure(
                    issuers: next.configuration.issuerNames, rules: next.configuration.rules.rules)
                exchange.replace(with: decide(next))
                if let decideSignIn { signIn?.replace(with: decideSignIn(next)) }
                issuers.replace(with: next.issuers)
                inForce.replace(with: next.configuration)
                changes.yield(maker.sources(of: next))
            }
        }
        let (store, logger) = (store, logger)
        var certificate: ServerCertificate?
        if let tls = configuration.server.publicTLS { certificate = try await serverCertificate(tls, metrics.tls) }
        let tls = certificate.map {
            listener($0, asking: configuration.server.publicTLS?.requestsClientCertificates == true, metrics.tls)
        }
        let administered = configuration.server.administration
        let notification = StartNotification(
            to: notifying, listeners: 2 + (administered == nil ? 0 : 1) + (administered?.network == nil ? 0 : 1))
        let server = BrokerServer(
            configuration: configuration, exchange: { exchange.current }, verifier: verifier, state: { state.current },
            issuers: issuers.current, revocations: revocations,
            signIn: currentSignIn, trustBundles: bundles, signInPlace: place, clock: clock,
            storeOutage: { await store.check().map { Outage(since: $0.since, cause: "\($0.failure)") } },
            metrics: metrics, recent: recent, logger: logger, tls: tls, sockets: sockets
        ) { listener, address in
            let place = ListenAddress(host: address.ipAddress ?? "", port: address.port ?? 0)
            logger.notice("listening", metadata: ["listener": "\(listener.rawValue)", "address": "\(place)"])
            notification.listens()
            await onListening(listener, address)
        }
        let administration = try await administrationServices(
            verifier,
            administration(
                issuers, inForce, reloader,
                OutstandingTokens(latestExpiry, store, restored: generation.restored, clock: clock)),
            opened: sockets.admin, notification)
        // They stop in the opposite order: the store last, when nobody can write to it any more.
        var services: [any Service] =
            [StoreService(store: store)] + keeping
            + [SourceKeeping(changes: sources), VerificationKeeping(cache: cache, state: state, clock: clock)]
            + (reloader.map { [ReloadOnSignal(reloader: $0)] } ?? [])
            + (certificate.map { [ServerCertificateReloader($0)] } ?? [])
        services += [SideBySide(services: server.services + administration), notification]
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
    /// What keeps the store and the keys in order while anything is served.
    var keeping: [any Service] {
        let file: [any Service] =
            configuration.audit.file == nil ? [] : [AuditFileReopening(store: store, logger: logger)]
        return [
            StoreKeeping(
                pruning: StorePruning(
                    store, retention: configuration.audit.retention, archive: configuration.auditArchive,
                    revocations: { [state] in state.current.revocations }, lastRecord: lastRecord, clock: clock,
                    logger: logger)),
            AuditIndexing(store: store, logger: logger),
            RevocationKeeping(
                revocations: revocations,
                pruning: RevocationPruning(
                    revocations, agreement: ClockAgreement(clock, lastRecord: lastRecord), clock: clock,
                    logger: logger)),
            CheckpointKeeping(store: store, logger: logger), KeyRotationService(rotation: rotation),
            CredentialKeeping(credentials: credentials, logger: logger),
        ] + file
    }

    /// What each request goes through under a policy: all of it under one.
    private func exchanges(
        _ mint: TokenMint, _ verifier: TokenVerifier, _ metrics: BrokerMetrics
    ) -> @Sendable (Policy) -> TokenExchange {
        { [store, clock, logger, generation, recent, bundles = trustBundles] policy in
            TokenExchange(
                authenticator: JWTAuthenticator(
                    policy.issuers, svids: JWTSVIDAuthenticator(policy.configuration.trustDomains) { bundles.current }),
                certificates: X509SVIDAuthenticator { bundles.current }, rules: policy.configuration.rules, mint: mint,
                verifier: verifier, store: store, keptClaims: policy.configuration.audit.claims, clock: clock,
                logger: logger, metrics: metrics.exchange, recent: recent, restored: generation.restored)
        }
    }

    /// Where people sign in; nil where nobody does.
    private func signInPlace(_ issuers: @escaping @Sendable () -> [TrustedIssuer]) throws -> SignInPlace? {
        let provider = try SignInProvider.make(
            configuration, issuers: issuers, fetcher: maker.fetcher, clock: clock)
        guard let provider else { return nil }
        return try SignInPlace(devices: DeviceAuthorizations(clock: clock), provider: provider)
    }

    /// What each device and each refresh token goes through under a policy.
    private func signIns(
        _ place: SignInPlace, _ logouts: LogoutTokens, _ mint: TokenMint, _ metrics: BrokerMetrics
    ) -> @Sendable (Policy) -> SignIn {
        let parts = SignIn.Parts(
            devices: place.devices, masterKey: maker.masterKey, provider: place.provider, logouts: logouts)
        return { [store, clock, logger, recent, revocations] policy in
            SignIn(
                parts, rules: policy.configuration.rules, mint: mint, store: store, revocations: revocations,
                keptClaims: policy.configuration.audit.claims, clock: clock, logger: logger,
                metrics: metrics.exchange, recent: recent)
        }
    }

    /// What administrators can see and change.
    private func administration(
        _ issuers: Published<[TrustedIssuer]>, _ inForce: Published<BrokerConfiguration>, _ reloader: Reloader?,
        _ outstanding: OutstandingTokens
    ) -> Administration {
        let (state, reading) = (state, RuleReading())
        return Administration(
            keys: SigningKeyAdministration(rotation, revocations),
            revocations: LiveRevocations(
                revocations, search: store, configuration: { inForce.current }, state: { state.current },
                outstanding: outstanding, clock: clock),
            sessions: StoredSessions(
                store, rules: { inForce.current.rules }, state: { state.current }, clock: clock),
            issuers: TrustedIssuerReader { issuers.current },
            rules: reloader.map { $0 as any RuleReloading } ?? FixedRules(), credentials: credentials,
            ruleInspector: LiveRules(
                { inForce.current }, history: store, reader: reading, clock: clock,
                revocations: { state.current.revocations }, aside: reading.aside),
            chain: StoredAuditChain(store), trail: StoredAudit(store),
            decisions: StoredDecisions(
                store, recent: recent,
                limits: {
                    issuers.current.map { ProofLimits($0.configuration) }
                        + inForce.current.trustDomains.map { ProofLimits($0) }
                },
                retention: configuration.audit.retention, clock: clock))
    }

    private func administrationServices(
        _ verifier: TokenVerifier, _ administration: Administration, opened: ListeningSocket?,
        _ notification: StartNotification
    ) async throws -> [any Service] {
        guard let administered = configuration.server.administration else { return [] }
        let (bundles, logger) = (trustBundles, logger)
        // The metrics of handshakes are those of the public listener.
        let metrics = TLSMetrics()
        var certificate: ServerCertificate?
        if let network = administered.network { certificate = try await serverCertificate(network.tls, metrics) }
        let requests = administered.network?.tls.requestsClientCertificates == true
        let tls = certificate.map { listener($0, asking: requests, metrics) }
        do {
            let server = try AdministrationServer(
                administered, administration, verifier: verifier, issuer: configuration.tokens.issuer,
                trustBundles: bundles, clock: clock, logger: logger, tls: tls, opened: opened
            ) { address in
                let place =
                    address.pathname ?? "\(ListenAddress(host: address.ipAddress ?? "", port: address.port ?? 0))"
                logger.notice("listening", metadata: ["listener": "admin", "address": "\(place)"])
                notification.listens()
            }
            return (certificate.map { [ServerCertificateReloader($0)] } ?? []) + server.services
        } catch {
            await store.close()
            throw CommandFailure("\(error)")
        }
    }

    private func serverCertificate(_ tls: ListenerTLS, _ metrics: TLSMetrics) async throws -> ServerCertificate {
        do {
            return try ServerCertificate(tls, clock: clock, metrics: metrics, logger: logger)
        } catch {
            await store.close()
            throw CommandFailure("\(error)")
        }
    }

    /// - Parameter asks: for certificates, while any trust domain is configured: a reload can bring the first.
    private func listener(
        _ certificate: ServerCertificate, asking asks: Bool, _ metrics: TLSMetrics
    ) -> TLSListener {
        let bundles = trustBundles
        return TLSListener(
            certificate, validator: asks ? X509SVIDValidator { bundles.current } : nil,
            asksNow: { !bundles.trustDomains.isEmpty }, clock: clock, metrics: metrics, logger: logger)
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
