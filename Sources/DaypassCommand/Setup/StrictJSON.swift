/// The grammar of JSON (RFC 8259) to the letter, which Foundation's decoder is not held to: it takes a comma too many, which
/// Claude Code does not.
struct StrictJSON {
    /// Whether all of the text is one object. Takes no stack for what is nested.
    static func isObject(_ text: String) -> Bool {
        var reader = StrictJSON(bytes: Array(text.utf8))
        reader.skipBlanks()
        guard reader.next == UInt8(ascii: "{") else { return false }
        return reader.isValue() && reader.at == reader.bytes.count
    }

    private let bytes: [UInt8]
    private var at = 0

    private init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

    private mutating func isValue() -> Bool {
        // What is open, by its closing byte.
        var open: [UInt8] = []
        while true {
            skipBlanks()
            switch next {
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                let close = next == UInt8(ascii: "{") ? UInt8(ascii: "}") : UInt8(ascii: "]")
                at += 1
                open.append(close)
                skipBlanks()
                // Of an empty one the end comes next, as behind a value.
                if next != close {
                    if close == UInt8(ascii: "}"), !takeName() { return false }
                    continue
                }
            case UInt8(ascii: "\""): guard takeString() else { return false }
            default: guard takeWord() else { return false }
            }
            skipBlanks()
            while let close = open.last, next == close {
                at += 1
                open.removeLast()
                skipBlanks()
            }
            guard let close = open.last else { return true }
            guard take(",") else { return false }
            if close == UInt8(ascii: "}"), !takeName() { return false }
        }
    }

    private mutating func skipBlanks() {
        while let byte = next, [0x20, 0x09, 0x0A, 0x0D].contains(byte) { at += 1 }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: character) else { return false }
        at += 1
        return true
    }

    private mutating func takeName() -> Bool {
        skipBlanks()
        guard takeString() else { return false }
        skipBlanks()
        return take(":")
    }

    /// What the escapes mean is the decoder's.
    private mutating func takeString() -> Bool {
        guard take("\"") else { return false }
        while let byte = next, byte != UInt8(ascii: "\"") {
            guard byte >= 0x20 else { return false }
            at += byte == UInt8(ascii: "\\") ? 2 : 1
        }
        return take("\"")
    }

    /// A number, or one of the three words.
    private mutating func takeWord() -> Bool {
        let start = at
        while let byte = next, ![0x20, 0x09, 0x0A, 0x0D, 0x2C, 0x5D, 0x7D].contains(byte) { at += 1 }
        let word = String(decoding: bytes[start..<at], as: UTF8.self)
        return ["true", "false", "null"].contains(word)
            || word.wholeMatch(of: /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/) != nil
    }
}
