package import Logging
import Synchronization

/// A logger that keeps its lines, each with its level and all its metadata: `info exchange refused issuer=ci reason=key`.
package final class LogRecorder: Sendable {
    private let entries = Mutex<[(message: String, line: String)]>([])

    package init() {}

    package var messages: [String] { entries.withLock { $0.map(\.message) } }
    package var lines: [String] { entries.withLock { $0.map(\.line) } }
    package var text: String { lines.joined(separator: "\n") }

    package var logger: Logger {
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
            let all = metadata.merging(event.metadata ?? [:]) { $1 }
            let fields = all.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            let line = ([event.level.rawValue, "\(event.message)"] + fields).joined(separator: " ")
            recorder.entries.withLock { $0.append(("\(event.message)", line)) }
        }
    }
}
