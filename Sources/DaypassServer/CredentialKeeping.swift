import Broker
import Logging
import ServiceLifecycle

/// Has the uses of providers' credentials recorded, each minute and before the store closes.
struct CredentialKeeping: Service {
    let credentials: ProviderCredentials
    let logger: Logger
    var sleep: Repeating.Sleep = { try await Task.sleep(for: $0) }

    func run() async throws {
        await Repeating(interval: .seconds(60), sleep: sleep, beginsAtOnce: false).run(()) { _ in await record() }
        await record()
    }

    private func record() async {
        do throws(StoreFailure) {
            try await credentials.recordUses()
        } catch {
            // They are tried again.
            logger.warning("uses of provider credentials are not recorded yet", metadata: ["failure": "\(error)"])
        }
    }
}
