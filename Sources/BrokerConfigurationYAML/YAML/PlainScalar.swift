/// What a scalar without quotes is.
///
/// YAML's readers disagree about many of these (`no`, `0o17`, `1_000`, `12:30`, `1e3`): whatever one of them takes for
/// something else than text is `ambiguous`, and never guessed at.
enum PlainScalar: Equatable {
    case text
    case bool(Bool)
    /// Within ±2⁵³.
    case number(Double)
    case numberOutOfRange
    /// `null`, `~` and nothing at all.
    case null
    case ambiguous

    init(_ text: String) {
        switch text {
        case "true": self = .bool(true)
        case "false": self = .bool(false)
        case "", "~", "null", "Null", "NULL": self = .null
        case let text where Self.looseBooleans.contains(text.lowercased()): self = .ambiguous
        case let text where Self.isDecimal(text): self = Self.number(text)
        case let text where Self.looksNumeric(text): self = .ambiguous
        default: self = .text
        }
    }

    private static let looseBooleans: Set<String> = ["true", "false", "yes", "no", "on", "off", "y", "n"]

    /// `-?(0|[1-9][0-9]*)(\.[0-9]+)?`
    private static func isDecimal(_ text: String) -> Bool {
        let parts = text.drop { $0 == "-" }.split(separator: ".", omittingEmptySubsequences: false)
        guard text.utf8.count <= 64, !text.hasPrefix("--"), (1...2).contains(parts.count),
            parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } })
        else { return false }
        return parts[0] == "0" || !parts[0].hasPrefix("0")
    }

    private static func number(_ text: String) -> PlainScalar {
        let limit = 1 << 53
        guard text.contains(".") else {
            // As an integer: 2⁵³ + 1 would be rounded into the range.
            guard let integer = Int(text), (-limit...limit).contains(integer) else { return .numberOutOfRange }
            return .number(Double(integer))
        }
        guard let number = Double(text), abs(number) < Double(limit) else { return .numberOutOfRange }
        return .number(number)
    }

    /// Whether YAML 1.1 or 1.2 has a number of this look: signs, radix prefixes, `_`, exponents, base 60, `.inf`, `.nan`.
    private static func looksNumeric(_ text: String) -> Bool {
        var body = Substring(text.lowercased())
        if body.hasPrefix("+") || body.hasPrefix("-") { body = body.dropFirst() }
        if body == ".inf" || body == ".nan" { return true }
        guard let first = body.utf8.first, (0x30...0x39).contains(first) || first == UInt8(ascii: "."),
            body.utf8.contains(where: { (0x30...0x39).contains($0) })
        else { return false }
        for prefix in ["0x", "0o", "0b"] where body.hasPrefix(prefix) {
            return body.dropFirst(2).utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x61...0x66).contains($0) || $0 == UInt8(ascii: "_")
            }
        }
        if isBase60(body) { return true }
        let parts = body.split(separator: "e", maxSplits: 1, omittingEmptySubsequences: false)
        let isMantissa = parts[0].utf8.allSatisfy {
            (0x30...0x39).contains($0) || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".")
        }
        guard isMantissa, parts[0].utf8.count(where: { $0 == UInt8(ascii: ".") }) <= 1 else { return false }
        guard parts.count == 2 else { return true }
        let exponent = parts[1].first == "+" || parts[1].first == "-" ? parts[1].dropFirst() : parts[1]
        return !exponent.isEmpty && exponent.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }

    /// `12:30`, `12:30:45.6`: YAML 1.1's numbers to the base of 60.
    private static func isBase60(_ body: Substring) -> Bool {
        let groups = body.split(separator: ":", omittingEmptySubsequences: false)
        return groups.count > 1
            && groups.allSatisfy { group in
                !group.isEmpty
                    && group.utf8.allSatisfy {
                        (0x30...0x39).contains($0) || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".")
                    }
            }
    }
}
