import BrokerSQLite
import Logging
import ServiceLifecycle
import UnixSignals

/// Opens the file of `audit.file` again at each SIGHUP.
struct AuditFileReopening: Service {
    let store: SQLiteStore
    let logger: Logger

    func run() async throws {
        for await _ in await UnixSignalsSequence(trapping: .sighup).cancelOnGracefulShutdown() {
            do {
                try await store.reopenAuditFile()
            } catch {
                logger.error("the audit file cannot be opened again", metadata: ["failure": "\(error)"])
            }
        }
    }
}
