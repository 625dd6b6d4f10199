package import Broker
package import Logging
import ServiceLifecycle
import SPIFFE

/// Keeps the bundles that come from endpoints as they are published: at start at once, then each endpoint in its own rhythm,
/// whether it answers or not. Ends promptly on graceful shutdown and on cancellation; a fetch that is under way then is
/// left to its own time limit.
package struct BundleEndpointPoller: Service {
    private let endpoints: [EndpointBundle]
    private let logger: Logger
    private let sleep: @Sendable (Duration) async throws -> Void
    private let jitter: @Sendable () -> Double

    /// - Parameters:
    ///   - endpoints: already restored.
    ///   - sleep: ends early, with any error, when the task is cancelled.
    ///   - jitter: between −1 and 1.
    package init(
        _ endpoints: [EndpointBundle], logger: Logger,
        sleep: @escaping @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0) },
        jitter: @escaping @Sendable () -> Double = { .random(in: -1...1) }
    ) {
        self.endpoints = endpoints
        self.logger = logger
        self.sleep = sleep
        self.jitter = jitter
    }

    package func run() async {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                for endpoint in endpoints {
                    group.addTask { await keepFresh(endpoint) }
                }
                // A service that returns while nobody asked it to is taken for a failed one.
                group.addTask { try? await gracefulShutdown() }
            }
        }
    }

    private func keepFresh(_ endpoint: EndpointBundle) async {
        var endpoint = endpoint
        var failure: String?
        while !Task.isCancelled {
            guard let outcome = await endpoint.poll() else { return }
            failure = report(outcome, of: endpoint.trustDomain, after: failure)
            do {
                try await sleep(endpoint.untilNextPoll(jitter: jitter()))
            } catch {
                return
            }
        }
    }

    /// Logs what is new.
    /// - Returns: what is wrong by now, if anything is.
    private func report(_ outcome: EndpointBundle.Outcome, of domain: TrustDomain, after failure: String?) -> String? {
        switch outcome {
        case .fetched(let bundle, let hasChanged):
            if hasChanged || failure != nil { report(bundle) }
            return nil
        case .notStored(let bundle, let hasChanged, let reason):
            if hasChanged { report(bundle) }
            warn("a trust bundle cannot be stored", reason, domain, unless: failure)
            return reason
        case .failed(let reason):
            warn(
                "a trust bundle cannot be had from its endpoint", reason, domain,
                unless: failure)
            return reason
        }
    }

    private func warn(_ message: Logger.Message, _ reason: String, _ domain: TrustDomain, unless known: String?) {
        guard reason != known else { return }
        logger.warning(message, metadata: ["trust_domain": "\(domain)", "reason": "\(reason)"])
    }

    private func report(_ bundle: TrustBundle) {
        var metadata: Logger.Metadata = [
            "trust_domain": "\(bundle.trustDomain)", "authorities": "\(bundle.authorities.count)",
            "keys": "\(bundle.jwtKeys.count)", "ignored": "\(bundle.ignored.count)",
        ]
        if let sequence = bundle.sequence { metadata["sequence"] = "\(sequence)" }
        guard !bundle.isEmpty else {
            logger.warning("a trust bundle trusts nobody: every SVID of its domain is refused", metadata: metadata)
            return
        }
        logger.notice("a trust bundle was fetched", metadata: metadata)
    }
}
