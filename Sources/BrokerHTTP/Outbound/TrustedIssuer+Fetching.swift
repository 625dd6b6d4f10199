package import Broker

extension TrustedIssuer {
    /// The issuer with keys from wherever its configuration says. Keys that are fetched are not there before the first
    /// refresh.
    /// - Throws: when the configured URL is not one that we would connect to; nothing is fetched yet.
    package init(
        _ configuration: IssuerConfiguration, fetcher: GuardedFetcher, clock: any BrokerClock
    ) throws(KeySetFetchFailure) {
        let isPrivate = configuration.allowsPrivateAddresses
        let keys =
            switch configuration.keys {
            case .inline(let keys, path: _): IssuerKeys(name: configuration.name, keys: keys, clock: clock)
            case .url(let url):
                IssuerKeys(
                    name: configuration.name,
                    fetcher: try URLKeySetFetcher(url: url, allowsPrivateAddresses: isPrivate, fetcher: fetcher),
                    clock: clock)
            case .discovery:
                IssuerKeys(
                    name: configuration.name,
                    fetcher: try DiscoveryKeySetFetcher(
                        issuer: configuration.issuer, allowsPrivateAddresses: isPrivate, fetcher: fetcher),
                    clock: clock)
            }
        self.init(configuration: configuration, keys: keys)
    }
}
