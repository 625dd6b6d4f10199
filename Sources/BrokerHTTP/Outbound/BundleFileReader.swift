package import Broker
package import Logging
import NIOPosix
import ServiceLifecycle
import SPIFFE

/// Keeps the bundles that come from files as they are on the disk: each second a look at every file, and a change takes
/// effect at the second look that finds it. Ends promptly on graceful shutdown and on cancellation.
package struct BundleFileReader: Service {
    package static let pause: Duration = .seconds(1)

    private let files: [(domain: TrustDomain, path: String)]
    private let bundles: TrustBundles
    private let logger: Logger
    private let sleep: @Sendable (Duration) async throws -> Void

    /// - Parameter sleep: ends early, with any error, when the task is cancelled.
    package init(
        _ trustDomains: [TrustDomainConfiguration], bundles: TrustBundles, logger: Logger,
        sleep: @escaping @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0) }
    ) {
        files = trustDomains.compactMap { configuration in
            guard case .file(_, let path) = configuration.bundle else { return nil }
            return (configuration.name, path)
        }
        self.bundles = bundles
        self.logger = logger
        self.sleep = sleep
    }

    package func run() async {
        await cancelWhenGracefulShutdown {
            var watched = files.map { Watched(domain: $0.domain, file: BundleFile(path: $0.path)) }
            while !Task.isCancelled {
                watched = await looked(at: watched)
                do {
                    try await sleep(Self.pause)
                } catch {
                    return
                }
            }
        }
        // A service that returns while nobody asked it to is taken for a failed one.
        try? await gracefulShutdown()
    }

    private struct Watched: Sendable {
        let domain: TrustDomain
        var file: BundleFile
        /// What was logged last; nil after a success.
        var failure: String?
    }

    /// Files block, so they are read where that holds up nobody.
    private func looked(at watched: [Watched]) async -> [Watched] {
        guard !watched.isEmpty else { return watched }
        let looked = try? await NIOThreadPool.singleton.runIfActive {
            watched.map { watched in
                var watched = watched
                let look = watched.file.look()
                take(look, &watched)
                return watched
            }
        }
        return looked ?? watched
    }

    private func take(_ look: BundleFile.Look, _ watched: inout Watched) {
        switch look {
        case .settling: break
        case .unchanged: break
        case .failed(let reason): failed(reason, &watched)
        case .changed(let contents):
            do {
                let bundle = try TrustBundle(contents: contents, of: watched.domain)
                let hasChanged = bundles.replace(with: bundle)
                if hasChanged || watched.failure != nil { report(bundle) }
                watched.failure = nil
            } catch {
                failed("\(error)", &watched)
            }
        }
    }

    private func failed(_ reason: String, _ watched: inout Watched) {
        bundles.failed(watched.domain, reason)
        guard watched.failure != reason else { return }
        watched.failure = reason
        logger.warning(
            "a trust bundle cannot be read: the last good one stays",
            metadata: ["trust_domain": "\(watched.domain)", "reason": "\(reason)"])
    }

    private func report(_ bundle: TrustBundle) {
        let metadata: Logger.Metadata = [
            "trust_domain": "\(bundle.trustDomain)", "authorities": "\(bundle.authorities.count)",
            "keys": "\(bundle.jwtKeys.count)", "ignored": "\(bundle.ignored.count)",
        ]
        guard !bundle.isEmpty else {
            logger.warning("a trust bundle trusts nobody: every SVID of its domain is refused", metadata: metadata)
            return
        }
        logger.notice("a trust bundle was read", metadata: metadata)
    }
}
