import Broker
import Logging
import ServiceLifecycle

/// Has the audit records indexed, again and again.
struct AuditIndexing: Service {
    /// What came since is looked at record by record.
    private static let interval: Duration = .seconds(1)
    private static let pruningRounds = 600
    /// Where there are many: for whoever records meanwhile.
    private static let rest: Duration = .milliseconds(50)

    let store: any IndexedAudit
    let logger: Logger

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var (round, isFailing) = (0, false)
            while !Task.isCancelled {
                do {
                    while try await store.indexAudit(), !Task.isCancelled { try await Task.sleep(for: Self.rest) }
                    if round.isMultiple(of: Self.pruningRounds) { try await store.pruneAuditIndex() }
                    isFailing = false
                } catch {
                    // A search is slow meanwhile, and right.
                    if !isFailing, !Task.isCancelled {
                        logger.warning("could not index the audit records", metadata: ["failure": "\(error)"])
                    }
                    isFailing = true
                }
                round += 1
                try? await Task.sleep(for: Self.interval)
            }
        }
    }
}
