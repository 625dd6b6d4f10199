import BrokerClient

/// One thing that `daypass doctor` looked at.
struct Finding {
    enum Level: String {
        case good = "ok"
        /// It works, or may; worth a look.
        case warning
        /// Tokens are refused, or not used, until it is changed.
        case problem
    }

    let level: Level
    /// What was looked at, in one or two words.
    let about: String
    let words: String
    /// What to do; nil where nothing is to be done.
    let remedy: String?

    static func good(_ about: String, _ words: String) -> Finding {
        Finding(level: .good, about: about, words: words, remedy: nil)
    }

    static func warning(_ about: String, _ words: String, do remedy: String) -> Finding {
        Finding(level: .warning, about: about, words: words, remedy: remedy)
    }

    static func problem(_ about: String, _ words: String, do remedy: String) -> Finding {
        Finding(level: .problem, about: about, words: words, remedy: remedy)
    }

    var line: String {
        let action = remedy.map { "\n         do: \(ReadableText.escaped($0))" } ?? ""
        return "\(level.rawValue.padded(to: 7))  \(ReadableText.escaped("\(about): \(words)"))\(action)"
    }

    var json: JSON {
        var members: [String: JSON] = [
            "level": .string(level.rawValue), "about": .string(about), "message": .string(words),
        ]
        if let remedy { members["remedy"] = .string(remedy) }
        return .object(members)
    }
}

extension String {
    fileprivate func padded(to length: Int) -> String {
        self + String(repeating: " ", count: max(0, length - count))
    }
}
