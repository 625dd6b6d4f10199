import Broker
import BrokerHTTP
import BrokerSQLite
import Foundation
import JOSE
import Logging
import SPIFFE

/// Whom the broker believes, by one reading of the configuration, with what is known of each: keys and bundles.
struct Policy: Sendable {
    let configuration: BrokerConfiguration
    let issuers: [TrustedIssuer]
    let endpoints: [ConfiguredEndpoint]
}

/// A trust domain whose bundle is fetched.
struct ConfiguredEndpoint: Sendable {
    /// Another one for each relationship with an endpoint.
    let id: UUID
    let trustDomain: TrustDomain
    let source: TrustDomainConfiguration.BundleSource
    let bundle: EndpointBundle
}

/// Makes policies. What is the same in two readings of the configuration is carried over: keys that were fetched, bundles
/// that are polled.
struct PolicyMaker: Sendable {
    let trustBundles: TrustBundles
    let store: SQLiteStore
    let masterKey: MasterKey
    let clock: any BrokerClock
    let logger: Logger
    private let resolver: SystemResolver
    /// The way out to whoever the configuration names.
    let fetcher: GuardedFetcher

    init(
        trustBundles: TrustBundles, store: SQLiteStore, masterKey: MasterKey, clock: any BrokerClock, logger: Logger
    ) {
        self.trustBundles = trustBundles
        self.store = store
        self.masterKey = masterKey
        self.clock = clock
        self.logger = logger
        resolver = SystemResolver()
        fetcher = GuardedFetcher(resolver: resolver)
    }

    /// The policy of `configuration`. Its trust domains have to be known to `trustBundles`; where their bundles come from
    /// endpoints, the last ones that were stored are trusted on return. Writes nothing: the names of its issuers are for the
    /// caller to bind, with what else has to be durable before it serves.
    func policy(of configuration: BrokerConfiguration, after previous: Policy? = nil) async throws -> Policy {
        let issuers = try issuers(of: configuration, after: previous)
        var endpoints: [ConfiguredEndpoint] = []
        for domain in configuration.trustDomains {
            let before = previous?.endpoints.first { $0.trustDomain == domain.name && $0.source == domain.bundle }
            if let before {
                endpoints.append(before)
            } else if let new = try await endpoint(of: domain) {
                endpoints.append(new)
            }
        }
        return Policy(configuration: configuration, issuers: issuers, endpoints: endpoints)
    }

    /// Whether `configuration` could be put into force after `previous`, as far as that can be told without trusting any of
    /// it.
    func check(_ configuration: BrokerConfiguration, after previous: Policy) async throws {
        _ = try issuers(of: configuration, after: previous)
        try await store.checkBinding(configuration.issuersByName)
    }

    private func issuers(
        of configuration: BrokerConfiguration, after previous: Policy?
    ) throws -> [TrustedIssuer] {
        let known = Dictionary((previous?.issuers ?? []).map { ($0.configuration.name, $0) }) { first, _ in first }
        return try configuration.issuers.map { issuer in
            if let before = known[issuer.name], before.configuration.hasSameKeys(as: issuer) {
                return TrustedIssuer(configuration: issuer, keys: before.keys)
            }
            return try TrustedIssuer(issuer, fetcher: fetcher, clock: clock)
        }
    }

    /// - Returns: nil for a bundle in a file.
    private func endpoint(of domain: TrustDomainConfiguration) async throws -> ConfiguredEndpoint? {
        guard case .endpoint(let endpoint) = domain.bundle else { return nil }
        let bundles = trustBundles
        let fetcher = try endpoint.fetcher(resolver: resolver, bundles: { bundles.current }, clock: clock)
        var bundle = EndpointBundle(
            domain.name, endpoint, fetcher: fetcher, bundles: bundles, store: store, masterKey: masterKey,
            clock: clock)
        if let reason = try await bundle.restore() {
            logger.warning(
                "a stored trust bundle cannot be used: the endpoint is asked for one",
                metadata: ["trust_domain": "\(domain.name)", "reason": "\(reason)"])
        }
        return ConfiguredEndpoint(id: UUID(), trustDomain: domain.name, source: domain.bundle, bundle: bundle)
    }

    /// What has to be kept fresh while `policy` is in force.
    func sources(of policy: Policy) -> [Source] {
        let keys = policy.issuers.map(\.keys).map {
            // While it is kept fresh it exists, and no other has its identity.
            Source(id: "keys \(ObjectIdentifier($0))", service: IssuerKeysRefresher([$0], logger: logger))
        }
        let endpoints = policy.endpoints.map {
            Source(id: "endpoint \($0.id)", service: BundleEndpointPoller([$0.bundle], logger: logger))
        }
        let files = policy.configuration.trustDomains.compactMap { domain in
            if case .file(_, let path) = domain.bundle { "\(domain.name) \(path)" } else { nil }
        }
        let reader = Source(
            id: "files \(files)",
            service: BundleFileReader(policy.configuration.trustDomains, bundles: trustBundles, logger: logger))
        return keys + endpoints + [reader]
    }
}

extension BrokerConfiguration {
    /// What the names of its issuers are to stand for.
    var issuersByName: [IssuerName: ExactString] {
        Dictionary(uniqueKeysWithValues: issuers.map { ($0.name, $0.issuer) })
    }
}
