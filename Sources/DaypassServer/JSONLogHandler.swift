import Foundation
import JOSE
import Logging

/// One JSON object a line on standard error: `time`, `level`, `message`, and the metadata. Whatever a value holds, it
/// cannot begin another line.
struct JSONLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level = .info

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var line: JSONObject = [
            "time": .string(ExactString(Date().formatted(.iso8601.time(includingFractionalSeconds: true)))),
            "level": .string(ExactString(event.level.rawValue)),
            "message": .string(ExactString(event.message.description)),
        ]
        let merged = metadata.merging(event.metadata ?? [:]) { $1 }
        for (name, value) in merged.sorted(by: { $0.key < $1.key }) {
            _ = line.append(ExactString(name), .string(ExactString(value.description)))
        }
        if let error = event.error { _ = line.append("error", .string(ExactString("\(error)"))) }
        StandardError.write(String(decoding: line.encoded(), as: UTF8.self) + "\n")
    }
}
