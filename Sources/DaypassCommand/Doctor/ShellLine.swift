import BrokerClient

/// A line of /bin/sh that is one simple command, taken apart.
struct ShellLine {
    /// What is set for the command alone.
    private(set) var variables: [String: String] = [:]
    private(set) var program = ""
    private(set) var arguments: [String] = []

    private struct Word {
        var text = ""
        /// How many bytes stood before the first quote.
        var unquoted: Int?
        var hasTilde = false

        /// Its name and its value, where it has the form of an assignment.
        var assignment: (name: String, value: String)? {
            guard let end = text.firstIndex(of: "="), end > text.startIndex else { return nil }
            let name = text[..<end]
            return name.hasOnlyNameCharacters ? (String(name), String(text[text.index(after: end)...])) : nil
        }

        /// What is quoted before the equals sign is none for the shell.
        var isAssignment: Bool {
            guard let assignment else { return false }
            return unquoted.map { $0 > assignment.name.utf8.count } ?? true
        }
    }

    /// - Parameter home: what ~ stands for.
    /// - Returns: nil where it takes a shell to say what is run.
    init?(_ line: String, home: String) {
        guard var rest = Self.words(line, home)?[...] else { return nil }
        while let word = rest.first, word.isAssignment, let (name, value) = word.assignment {
            variables[name] = value
            rest.removeFirst()
        }
        while let word = rest.first?.text {
            let isEnv = word == "env" || word.hasSuffix("/env")
            guard isEnv || word == "exec" || word == "command" else { break }
            rest.removeFirst()
            while isEnv, let (name, value) = rest.first?.assignment {
                variables[name] = value
                rest.removeFirst()
            }
            // Options of theirs.
            if rest.first?.text.hasPrefix("-") == true { return nil }
        }
        guard let first = rest.first else { return nil }
        program = first.text
        arguments = rest.dropFirst().map(\.text)
    }

    private static func words(_ line: String, _ home: String) -> [Word]? {
        var words: [Word] = []
        var word: Word?
        var quote: Unicode.Scalar?
        for scalar in line.unicodeScalars {
            if let open = quote {
                if scalar == open {
                    quote = nil
                } else if open == "\"", "$`\\".unicodeScalars.contains(scalar) {
                    return nil
                } else {
                    word?.text.unicodeScalars.append(scalar)
                }
            } else if scalar == "'" || scalar == "\"" {
                quote = scalar
                var opened = word ?? Word()
                opened.unquoted = opened.unquoted ?? opened.text.utf8.count
                word = opened
            } else if scalar == " " || scalar == "\t" {
                if let word { words.append(word) }
                word = nil
            } else if "$`\\;&|<>(){}*?[]#!\n".unicodeScalars.contains(scalar) {
                return nil
            } else {
                var longer = word ?? Word()
                if scalar == "~" {
                    // Behind an equals sign the shell may expand it as well.
                    guard longer.text.isEmpty, longer.unquoted == nil else { return nil }
                    longer.hasTilde = true
                }
                longer.text.unicodeScalars.append(scalar)
                word = longer
            }
        }
        guard quote == nil else { return nil }
        if let word { words.append(word) }
        for index in words.indices where words[index].hasTilde {
            // Another user's home.
            guard words[index].text.hasPrefix("~/"), words[index].unquoted.map({ $0 > 1 }) ?? true else { return nil }
            words[index].text = home + words[index].text.dropFirst()
        }
        return words
    }
}
