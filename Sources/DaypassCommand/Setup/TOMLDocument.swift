/// The lines of a TOML file in which settings are changed, and nothing else.
///
/// It reads less than TOML has: a file with strings of several lines, or with a table of ours written in another way than as
/// `[a.b]`, is not taken, so that nothing is lost of it.
struct TOMLDocument {
    private(set) var lines: [String]

    init() {
        lines = []
    }

    /// - Returns: nil for what it cannot read.
    init?(_ text: String) {
        // One character for Swift, and so no end of a line here.
        guard !text.unicodeScalars.contains("\r") else { return nil }
        lines = text.isEmpty ? [] : text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        if lines.last == "" { lines.removeLast() }
        guard let kinds = Self.kinds(lines) else { return nil }
        var seen: Set<[String]> = []
        // Nil in an array of tables, where names come again.
        var table: [String]? = []
        for kind in kinds {
            switch kind {
            case .table(let name):
                guard seen.insert(name).inserted else { return nil }
                table = name
            case .other(let name):
                // Each element has tables of its own.
                seen = seen.filter { !$0.starts(with: name) }
                table = nil
            case .key(let name):
                guard let table else { continue }
                guard seen.insert(table + name).inserted else { return nil }
            case .none: break
            }
        }
    }

    var text: String { lines.map { "\($0)\n" }.joined() }

    private enum Kind {
        case table([String])
        /// `[[a]]`
        case other([String])
        case key([String])
        case none
    }

    /// What each line is; the further lines of an array or of an inline table are none.
    private static func kinds(_ lines: [String]) -> [Kind]? {
        var kinds: [Kind] = []
        var depth = 0
        for line in lines {
            let trimmed = line.drop { $0 == " " || $0 == "\t" }
            var kind = Kind.none
            var value = trimmed
            if depth == 0 {
                if trimmed.isEmpty || trimmed.hasPrefix("#") {
                    kinds.append(.none)
                    continue
                }
                if trimmed.hasPrefix("[") {
                    let isArray = trimmed.hasPrefix("[[")
                    let end = isArray ? "]]" : "]"
                    guard let (name, rest) = path(trimmed.dropFirst(isArray ? 2 : 1)), rest.hasPrefix(end),
                        isBlank(rest.dropFirst(end.count))
                    else { return nil }
                    kinds.append(isArray ? .other(name) : .table(name))
                    continue
                }
                guard let (name, rest) = path(trimmed), rest.hasPrefix("=") else { return nil }
                kind = .key(name)
                value = rest.dropFirst()
                guard !isBlank(value) else { return nil }
            }
            guard let opened = openings(value), depth + opened >= 0 else { return nil }
            depth += opened
            kinds.append(kind)
        }
        return depth == 0 ? kinds : nil
    }

    private static func isBlank(_ text: Substring) -> Bool {
        let rest = text.drop { $0 == " " || $0 == "\t" }
        return rest.isEmpty || rest.hasPrefix("#")
    }

    /// A dotted key, and what stands behind it.
    private static func path(_ text: Substring) -> ([String], Substring)? {
        var rest = text.drop { $0 == " " || $0 == "\t" }
        var names: [String] = []
        while true {
            if let quote = rest.first, quote == "\"" || quote == "'" {
                rest = rest.dropFirst()
                guard let end = rest.firstIndex(of: quote), !rest[..<end].contains("\\") else { return nil }
                names.append(String(rest[..<end]))
                rest = rest[rest.index(after: end)...]
            } else {
                let name = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_" || $0 == "-") }
                guard !name.isEmpty else { return nil }
                names.append(String(name))
                rest = rest[name.endIndex...]
            }
            rest = rest.drop { $0 == " " || $0 == "\t" }
            guard rest.hasPrefix(".") else { return (names, rest) }
            rest = rest.dropFirst().drop { $0 == " " || $0 == "\t" }
        }
    }

    /// How many brackets and braces it opens more than it closes.
    /// - Returns: nil where a string does not end in it.
    private static func openings(_ text: Substring) -> Int? {
        guard !text.contains("\"\"\""), !text.contains("'''") else { return nil }
        var count = 0
        let isClosed = scan(text) { _, character, isText in
            guard !isText else { return }
            switch character {
            case "[", "{": count += 1
            case "]", "}": count -= 1
            default: break
            }
        }
        return isClosed ? count : nil
    }

    /// Goes through a line up to its comment, and says of each character whether it is a string's, with the quotes.
    /// - Returns: whether each string ends.
    private static func scan(_ text: Substring, _ body: (String.Index, Character, _ isText: Bool) -> Void) -> Bool {
        var quote: Character?
        var isEscaped = false
        for index in text.indices {
            let character = text[index]
            guard let open = quote else {
                if character == "#" { break }
                if character == "\"" || character == "'" { quote = character }
                body(index, character, quote != nil)
                continue
            }
            body(index, character, true)
            if isEscaped {
                isEscaped = false
            } else if open == "\"", character == "\\" {
                isEscaped = true
            } else if character == open {
                quote = nil
            }
        }
        return quote == nil
    }

    /// The lines of one table, without its header: those at the beginning for the root.
    private func body(of table: [String]) -> Range<Int>? {
        guard let kinds = Self.kinds(lines) else { return nil }
        var start: Int? = table.isEmpty ? 0 : nil
        for (index, kind) in kinds.enumerated() {
            switch kind {
            case .table(let name), .other(let name):
                if let start { return start..<index }
                if case .table = kind, Self.isSame(name, table) { start = index + 1 }
            default: break
            }
        }
        return start.map { $0..<lines.count }
    }

    /// The value in the line, without the comment behind it; nil where there is none.
    func value(_ table: [String], _ key: String) -> String? {
        line(table, key).map { String(lines[$0][Self.value(of: lines[$0])]) }
    }

    private func line(_ table: [String], _ key: String) -> Int? {
        guard let body = body(of: table), let kinds = Self.kinds(lines) else { return nil }
        return body.first {
            if case .key(let name) = kinds[$0] { Self.isSame(name, [key]) } else { false }
        }
    }

    /// Where the value of a key stands in its line, or the part of it that is in there.
    private static func value(of line: String) -> Range<String.Index> {
        let name = path(line[...])?.1.startIndex ?? line.startIndex
        let start = line[name...].dropFirst().firstIndex { $0 != " " && $0 != "\t" } ?? line.endIndex
        var end = start
        _ = scan(line[start...]) { index, character, isText in
            if isText || (character != " " && character != "\t") { end = line.index(after: index) }
        }
        return start..<end
    }

    /// By their bytes: what only looks like a setting is another one.
    private static func isSame(_ one: [String], _ other: [String]) -> Bool {
        one.count == other.count && zip(one, other).allSatisfy { $0.utf8.elementsEqual($1.utf8) }
    }

    /// - Parameter value: in TOML.
    /// - Returns: false, and nothing is changed, where the table is written in another way, or the value has several lines.
    mutating func set(_ table: [String], _ key: String, _ value: String) -> Bool {
        var changed = self
        // Whoever reads it finds it there, or it is left alone.
        guard changed.place(table, key, value), changed.value(table, key) == value,
            TOMLDocument(changed.text)?.value(table, key) == value
        else { return false }
        self = changed
        return true
    }

    private mutating func place(_ table: [String], _ key: String, _ value: String) -> Bool {
        if let line = line(table, key) {
            guard let opened = Self.openings(lines[line].drop { $0 != "=" }), opened == 0 else { return false }
            lines[line].replaceSubrange(Self.value(of: lines[line]), with: value)
            return true
        }
        guard !isWrittenOtherwise(table + [key]) else { return false }
        guard let body = body(of: table) else {
            if let last = lines.last, !last.isEmpty { lines.append("") }
            lines += ["[\(table.joined(separator: "."))]", "\(key) = \(value)"]
            return true
        }
        // Behind the last line that says anything, before blanks and comments that belong to the next table.
        let end = body.last { !Self.isBlank(lines[$0][...]) }.map { $0 + 1 } ?? body.lowerBound
        lines.insert("\(key) = \(value)", at: end)
        if table.isEmpty, end + 1 < lines.count, lines[end + 1].hasPrefix("[") { lines.insert("", at: end + 1) }
        return true
    }

    /// Whether the place is reached, or taken, by a dotted key, an inline table or an array of tables.
    private func isWrittenOtherwise(_ place: [String]) -> Bool {
        var table: [String] = []
        for kind in Self.kinds(lines) ?? [] {
            switch kind {
            case .table(let name): table = name
            case .other(let name):
                table = name
                if place.starts(with: name) { return true }
            case .key(let name):
                let whole = table + name
                if place.starts(with: whole)
                    || (name.count > 1 && whole.starts(with: place.dropLast()) && place.count > 1)
                {
                    return true
                }
            case .none: break
            }
        }
        return false
    }
}
