package import FoundationEssentials

/// All metrics of a broker.
///
/// What one scrape can cost is bounded: `MetricText.maximumSeries` lines for each of some thirty families, whatever is
/// configured and whoever calls.
package struct BrokerMetrics: Sendable {
    package let exchange: ExchangeMetrics
    package let verify: VerifyMetrics
    package let store: StoreMetrics
    package let requests: RequestMetrics
    package let tls = TLSMetrics()
    package let signingKeys: SigningKeyMetrics
    private let issuers: IssuerKeysMetrics
    private let trustBundles: TrustBundleMetrics?
    private let revocations: RevocationMetrics?
    private let verificationCache: VerificationCacheMetrics?
    private let process: ProcessMetrics

    /// - Parameters:
    ///   - issuers: those of the moment of each scrape.
    ///   - store: those that the store itself was given.
    ///   - signingKeys: those that the rotation was given.
    ///   - start: of the process.
    package init(
        _ configuration: BrokerConfiguration, issuers: @escaping @autoclosure @Sendable () -> [TrustedIssuer],
        trustBundles: TrustBundles? = nil, revocations: Revocations? = nil,
        verificationCache: VerificationCache? = nil, store: StoreMetrics = StoreMetrics(),
        signingKeys: SigningKeyMetrics = SigningKeyMetrics(),
        start: Date = Date()
    ) {
        exchange = ExchangeMetrics(issuers: configuration.issuerNames, rules: configuration.rules.rules)
        verify = VerifyMetrics()
        self.store = store
        self.signingKeys = signingKeys
        requests = RequestMetrics(maximumConnections: configuration.server.limits.connections)
        self.issuers = IssuerKeysMetrics(issuers().map(\.keys))
        self.trustBundles = trustBundles.map { TrustBundleMetrics($0) }
        self.revocations = revocations.map { RevocationMetrics(revocations: $0) }
        self.verificationCache = verificationCache.map { VerificationCacheMetrics(cache: $0) }
        process = ProcessMetrics(start: start)
    }

    /// The text of a scrape, as of now. Does not suspend; observers do not wait for it.
    package func text() -> [UInt8] {
        var text = MetricText()
        let sources: [(any MetricSource)?] = [
            exchange, verify, verificationCache, store, signingKeys, requests, tls, issuers, trustBundles, revocations,
            process,
        ]
        for source in sources.compactMap({ $0 }) { source.write(to: &text) }
        text.family(
            "daypass_metrics_series_omitted", .gauge,
            "Series without a line of their own, since a family shows \(MetricText.maximumSeries) at most.")
        text.sample(UInt64(text.omitted))
        return text.bytes
    }
}
