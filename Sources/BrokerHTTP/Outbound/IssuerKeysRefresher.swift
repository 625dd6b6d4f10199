package import Broker
package import Logging
import ServiceLifecycle

/// Keeps the keys of all issuers fresh: at start at once, then each issuer in its own rhythm. Ends promptly on graceful
/// shutdown and on cancellation; a fetch that is under way then is left to its own time limit.
package struct IssuerKeysRefresher: Service {
    private let issuers: [IssuerKeys]
    private let logger: Logger
    private let sleep: @Sendable (Duration) async throws -> Void
    private let jitter: @Sendable () -> Double

    /// No issuer is asked more often, whatever its rhythm says.
    private static let shortestPause: Duration = .seconds(1)

    /// - Parameters:
    ///   - issuers: those whose keys never change are left alone.
    ///   - sleep: ends early, with any error, when the task is cancelled.
    ///   - jitter: between −1 and 1.
    package init(
        _ issuers: [IssuerKeys], logger: Logger,
        sleep: @escaping @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0) },
        jitter: @escaping @Sendable () -> Double = { .random(in: -1...1) }
    ) {
        self.issuers = issuers.filter { $0.untilNextRefresh(jitter: 0) != nil }
        self.logger = logger
        self.sleep = sleep
        self.jitter = jitter
    }

    package func run() async {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                for issuer in issuers {
                    group.addTask { await keepFresh(issuer) }
                }
                // A service that returns while nobody asked it to is taken for a failed one.
                group.addTask { try? await gracefulShutdown() }
            }
        }
    }

    private func keepFresh(_ issuer: IssuerKeys) async {
        var reported = Condition.unknown
        while !Task.isCancelled {
            await refresh(issuer)
            guard !Task.isCancelled else { return }
            let condition = Condition(issuer.status)
            if condition != reported { report(condition, of: issuer, after: reported) }
            reported = condition
            guard let pause = issuer.untilNextRefresh(jitter: jitter()) else { return }
            do {
                try await sleep(max(pause, Self.shortestPause))
            } catch {
                return
            }
        }
    }

    /// Returns when the refresh is over or the task is cancelled.
    private func refresh(_ issuer: IssuerKeys) async {
        let (stream, end) = AsyncStream<Never>.makeStream()
        Task {
            await issuer.refresh()
            end.finish()
        }
        for await _ in stream {}
    }

    private func report(_ condition: Condition, of issuer: IssuerKeys, after previous: Condition) {
        let name: Logger.MetadataValue = "\(issuer.name)"
        switch condition {
        case .unknown: break
        case .fresh where previous == .unknown:
            logger.debug("the keys of an issuer were fetched", metadata: ["issuer": name])
        case .fresh: logger.notice("the keys of an issuer can be fetched again", metadata: ["issuer": name])
        case .withdrawn:
            logger.warning("an issuer publishes no usable key: its tokens are refused", metadata: ["issuer": name])
        case .failing(let reason):
            logger.warning(
                "the keys of an issuer cannot be fetched", metadata: ["issuer": name, "reason": "\(reason)"])
        }
    }

    /// What was last logged about an issuer.
    private enum Condition: Equatable {
        case unknown, fresh, withdrawn
        case failing(String)

        init(_ status: IssuerKeys.Status) {
            self =
                if let error = status.lastError { .failing(error) } else if status.keyCount == 0 { .withdrawn } else {
                    .fresh
                }
        }
    }
}
