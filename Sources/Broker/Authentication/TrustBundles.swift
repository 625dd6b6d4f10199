package import FoundationEssentials
package import SPIFFE
import Synchronization

/// The bundles of the configured trust domains as of now, and how fresh each is.
///
/// A bundle that cannot be read or fetched replaces nothing: the last good one stays. One that was read replaces the old one whatever
/// it holds: an empty one makes everything of its domain invalid. Callable from any thread; does not suspend.
package final class TrustBundles: Sendable {
    private let clock: any BrokerClock
    private let state: Mutex<State>

    private struct State {
        var bundles = TrustBundleSet()
        var domains: [TrustDomain: Domain] = [:]
        var order: [TrustDomain] = []

        /// Takes up a trust domain in the place of what is known of it.
        mutating func begin(_ configuration: TrustDomainConfiguration, at now: Date) {
            let name = configuration.name
            if domains[name] == nil { order.append(name) }
            domains[name] = Domain(unusableSince: now)
            bundles = bundles.removing(name)
            guard case .file(let bundle, _) = configuration.bundle, bundle.trustDomain == name else { return }
            bundles = bundles.replacing(bundle)
            domains[name]?.source = .file
            if !bundle.isEmpty { domains[name]?.unusableSince = nil }
        }
    }

    fileprivate struct Domain {
        var source: Source?
        /// On the monotonic clock.
        var fetchedAt: Duration?
        var unusableSince: Date?
        var lastError: String?
        var failingSince: Date?
        var changeCount: UInt64 = 0
        var failureCount: UInt64 = 0
    }

    /// In the order of the configuration.
    package var trustDomains: [TrustDomain] { state.withLock { $0.order } }

    /// With the bundles of the configuration's files. Those of endpoints come with `EndpointBundle`.
    package init(_ trustDomains: [TrustDomainConfiguration], clock: any BrokerClock) {
        self.clock = clock
        var initial = State()
        for configuration in trustDomains { initial.begin(configuration, at: clock.now) }
        state = Mutex(initial)
    }

    /// Takes up trust domains that are new, or whose bundles come from elsewhere by now: what was trusted of them ends, and
    /// what a file holds begins.
    /// - Returns: undoes it.
    package func begin(_ configurations: [TrustDomainConfiguration]) -> @Sendable () -> Void {
        let before = state.withLock { state in
            let before = state
            for configuration in configurations { state.begin(configuration, at: clock.now) }
            return before
        }
        let names = configurations.map(\.name)
        return { [self] in
            state.withLock { state in
                for name in names {
                    state.domains[name] = before.domains[name]
                    state.bundles = before.bundles[name].map(state.bundles.replacing) ?? state.bundles.removing(name)
                }
                state.order = before.order
            }
        }
    }

    /// Ends all trust in what is not among `domains`, which are in the order of the configuration.
    package func end(allBut domains: [TrustDomain]) {
        state.withLock { state in
            for name in state.order where !domains.contains(name) {
                state.domains[name] = nil
                state.bundles = state.bundles.removing(name)
            }
            state.order = domains
        }
    }

    /// What is trusted now.
    package var current: TrustBundleSet { state.withLock { $0.bundles } }

    /// Where a bundle came from.
    package enum Source: String, Sendable, CaseIterable {
        /// The one that is looked at again and again.
        case file
        /// The file beside an endpoint.
        case initial
        /// What the endpoint served before the last start.
        case stored
        case endpoint
    }

    /// Trusts what `bundle` says from now on. One of a trust domain that is not configured is ignored.
    /// - Parameter endsFailure: whether all is well with it now; otherwise `recovered` says so later.
    /// - Returns: whether it trusts anything else than the one before it.
    @discardableResult
    package func replace(with bundle: TrustBundle, from source: Source = .file, endsFailure: Bool = true) -> Bool {
        state.withLock { state in
            guard var domain = state.domains[bundle.trustDomain] else { return false }
            let hasChanged = state.bundles[bundle.trustDomain]?.epoch != bundle.epoch
            if endsFailure { (domain.lastError, domain.failingSince) = (nil, nil) }
            // What it starts with is nothing new.
            if hasChanged, source == .file || source == .endpoint { domain.changeCount += 1 }
            domain.source = source
            if source == .endpoint { domain.fetchedAt = clock.uptime }
            domain.unusableSince = bundle.isEmpty ? domain.unusableSince ?? clock.now : nil
            state.domains[bundle.trustDomain] = domain
            state.bundles = state.bundles.replacing(bundle)
            return hasChanged
        }
    }

    /// That nothing is wrong any more.
    package func recovered(_ trustDomain: TrustDomain) {
        state.withLock { state in
            state.domains[trustDomain]?.lastError = nil
            state.domains[trustDomain]?.failingSince = nil
        }
    }

    /// That a newer bundle could not be had, and why. The last good one stays.
    package func failed(_ trustDomain: TrustDomain, _ reason: String) {
        state.withLock { state in
            state.domains[trustDomain]?.lastError = reason
            state.domains[trustDomain]?.failureCount += 1
            if state.domains[trustDomain]?.failingSince == nil {
                state.domains[trustDomain]?.failingSince = clock.now
            }
        }
    }

    /// How a trust domain stands.
    package struct Status: Sendable, Equatable {
        package let trustDomain: TrustDomain
        /// Of X509-SVIDs.
        package let authorityCount: Int
        /// Of JWT-SVIDs.
        package let keyCount: Int
        /// `spiffe_sequence`, where the bundle has one.
        package let sequence: UInt64?
        /// Of the bundle that is trusted; nil before the first one.
        package let source: Source?
        /// Since the endpoint last answered with a bundle that was taken; nil before that, and for files.
        package let age: Duration?
        /// Since when nothing of the domain can be verified; nil while something can.
        package let unusableSince: Date?
        /// Why the last attempt to have a newer bundle failed; nil where it did not.
        package let lastError: String?
        package let failingSince: Date?
        /// How often the bundle came to trust something else.
        package let changeCount: UInt64
        package let failureCount: UInt64

        package var isUsable: Bool { unusableSince == nil }
    }

    /// In the order of the configuration.
    package var statuses: [Status] {
        let state = state.withLock { $0 }
        return state.order.compactMap { name in
            state.domains[name].map { Status(name, state.bundles[name], $0, at: clock.uptime) }
        }
    }
}

extension TrustBundles.Status {
    fileprivate init(_ name: TrustDomain, _ bundle: TrustBundle?, _ domain: TrustBundles.Domain, at now: Duration) {
        self.init(
            trustDomain: name, authorityCount: bundle?.authorities.count ?? 0, keyCount: bundle?.jwtKeys.count ?? 0,
            sequence: bundle?.sequence, source: domain.source, age: domain.fetchedAt.map { now - $0 },
            unusableSince: domain.unusableSince, lastError: domain.lastError, failingSince: domain.failingSince,
            changeCount: domain.changeCount, failureCount: domain.failureCount)
    }
}
