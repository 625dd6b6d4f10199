import Foundation
import JOSE
import Logging

/// One JSON object a line on standard error: `time` (RFC 3339, UTC), `level`, `message`, and the metadata. Whatever a value
/// holds, it cannot begin another line, nor change how a terminal shows this one.
struct JSONLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level = .info

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var line: JSONObject = [
            "time": .string(ExactString(Date().formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true)))),
            "level": .string(ExactString(event.level.rawValue)),
            "message": .string(ExactString(event.message.description)),
        ]
        let merged = metadata.merging(event.metadata ?? [:]) { $1 }
        for (name, value) in merged.sorted(by: { $0.key < $1.key }) {
            let value = JSONValue.string(ExactString(value.description))
            // A name of ours is taken already; what was to be logged must not get lost for that.
            if !line.append(ExactString(name), value) { _ = line.append(ExactString("metadata.\(name)"), value) }
        }
        if let error = event.error { _ = line.append("error", .string(ExactString("\(error)"))) }
        StandardError.log(Self.visible(String(decoding: line.encoded(), as: UTF8.self)))
    }

    /// The JSON text with its control, bidirectional and other invisible characters escaped. They stand only within
    /// strings, where `\u` and the UTF-16 code units mean the same (RFC 8259 §7).
    private static func visible(_ json: String) -> String {
        guard !json.utf8.allSatisfy({ $0 < 0x80 }) else { return json }
        var text = ""
        for scalar in json.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator:
                for unit in String(scalar).utf16 {
                    let digits = String(unit, radix: 16)
                    text += "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
                }
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}
