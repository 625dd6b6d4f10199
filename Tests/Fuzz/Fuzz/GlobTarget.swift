import Broker
import JOSE

/// Patterns: the input is a pattern, a NUL, and the text. Short ones are held against the definition, word by word.
enum GlobTarget: FuzzTarget {
    static func run(_ input: [UInt8]) {
        let end = input.firstIndex(of: 0) ?? input.endIndex
        guard let pattern = String(validating: input[..<end], as: UTF8.self),
            let text = ExactString(validating: input[end...].dropFirst()),
            let glob = try? Glob(parsing: pattern)
        else { return }
        let matches = glob.matches(text)
        let patternBytes = Array(pattern.utf8)
        precondition(glob.hasWildcard || !matches || text.utf8.count <= patternBytes.count, "a literal matches more")
        guard patternBytes.count <= 12, text.utf8.count <= 20 else { return }
        precondition(matches == reference(patternBytes[...], Array(text.utf8)[...]), "not what the definition says")
    }

    private static func reference(_ pattern: ArraySlice<UInt8>, _ text: ArraySlice<UInt8>) -> Bool {
        guard let first = pattern.first else { return text.isEmpty }
        let rest = pattern.dropFirst()
        guard first == UInt8(ascii: "*") else {
            let isEscape = first == UInt8(ascii: "\\")
            return text.first == (isEscape ? rest.first : first)
                && reference(isEscape ? rest.dropFirst() : rest, text.dropFirst())
        }
        let spansAll = rest.first == UInt8(ascii: "*")
        if reference(spansAll ? rest.dropFirst() : rest, text) { return true }
        guard let byte = text.first, spansAll || (byte != UInt8(ascii: "/") && byte != UInt8(ascii: ":")) else {
            return false
        }
        return reference(pattern, text.dropFirst())
    }
}
