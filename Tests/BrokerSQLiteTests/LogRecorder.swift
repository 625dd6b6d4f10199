import Logging
import Synchronization

/// A logger that keeps its lines.
final class LogRecorder: Sendable {
    private let entries = Mutex<[(message: String, line: String)]>([])

    var messages: [String] { entries.withLock { $0.map(\.message) } }
    /// With their metadata.
    var lines: [String] { entries.withLock { $0.map(\.line) } }

    var logger: Logger {
        Logger(label: "test") { _ in Handler(recorder: self) }
    }

    private struct Handler: LogHandler {
        let recorder: LogRecorder
        var logLevel = Logger.Level.trace
        var metadata: Logger.Metadata = [:]

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            recorder.entries.withLock {
                $0.append(("\(event.message)", "\(event.message) \(event.metadata ?? [:])"))
            }
        }
    }
}
