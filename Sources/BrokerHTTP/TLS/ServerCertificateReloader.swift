import Logging
import NIOPosix
import ServiceLifecycle

/// Looks every few seconds whether the files of the server certificate have changed. It compares what they hold, so that
/// a replaced file, a replaced link and a file that was written over are all seen.
package struct ServerCertificateReloader: Service {
    package static let pause: Duration = .seconds(5)

    private let certificate: ServerCertificate
    private let sleep: @Sendable (Duration) async throws -> Void

    /// - Parameter sleep: ends early, with any error, when the task is cancelled.
    package init(
        _ certificate: ServerCertificate,
        sleep: @escaping @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0) }
    ) {
        self.certificate = certificate
        self.sleep = sleep
    }

    package func run() async {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    try await sleep(Self.pause)
                } catch {
                    return
                }
                // A file can take long to read, where it comes over a network.
                try? await NIOThreadPool.singleton.runIfActive { certificate.look() }
            }
        }
    }
}
