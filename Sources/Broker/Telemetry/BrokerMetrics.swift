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
    private let issuers: IssuerKeysMetrics
    private let process: ProcessMetrics

    /// - Parameters:
    ///   - store: those that the store itself was given.
    ///   - start: of the process.
    package init(
        _ configuration: BrokerConfiguration, issuers: [TrustedIssuer], store: StoreMetrics = StoreMetrics(),
        start: Date = Date()
    ) {
        exchange = ExchangeMetrics(issuers: configuration.issuers.map(\.name), rules: configuration.rules.rules)
        verify = VerifyMetrics()
        self.store = store
        requests = RequestMetrics(maximumConnections: configuration.server.limits.connections)
        self.issuers = IssuerKeysMetrics(issuers.map(\.keys))
        process = ProcessMetrics(start: start)
    }

    /// The text of a scrape, as of now. Does not suspend; observers do not wait for it.
    package func text() -> [UInt8] {
        var text = MetricText()
        for source in [exchange, verify, store, requests, tls, issuers, process] as [any MetricSource] {
            source.write(to: &text)
        }
        text.family(
            "daypass_metrics_series_omitted", .gauge,
            "Series without a line of their own, since a family shows \(MetricText.maximumSeries) at most.")
        text.sample(UInt64(text.omitted))
        return text.bytes
    }
}
