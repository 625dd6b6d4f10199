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
        await Repeating(interval: Self.interval).run((round: 0, isFailing: false)) { state in
            do {
                while try await store.indexAudit(), !Task.isCancelled { try await Task.sleep(for: Self.rest) }
                if state.round.isMultiple(of: Self.pruningRounds) { try await store.pruneAuditIndex() }
                state.isFailing = false
            } catch {
                // A search is slow meanwhile, and right.
                if !state.isFailing, !Task.isCancelled {
                    logger.warning("could not index the audit records", metadata: ["failure": "\(error)"])
                }
                state.isFailing = true
            }
            state.round += 1
        }
    }
}
