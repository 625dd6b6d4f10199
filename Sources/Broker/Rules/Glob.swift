package import JOSE

/// A text pattern of a rule: `*` is any run of characters except `/` and `:`, `**` any run, `\*` a star and `\\` a
/// backslash; everything else is itself, byte for byte. It always spans the whole text.
package struct Glob: Sendable, Hashable {
    /// In bytes.
    package static let maximumLength = 512
    /// Longer text matches no pattern that has a wildcard: bounds the time that a hostile claim can take.
    package static let maximumTextLength = 4096

    enum Token: Sendable, Hashable {
        case byte(UInt8)
        /// `*`
        case segment
        /// `**`
        case anything
    }

    /// As it was written.
    package let pattern: ExactString
    let tokens: [Token]
    /// The only text that matches, where there is no wildcard.
    let literal: ExactString?

    /// - Throws: for a pattern that is empty or too long, a backslash before anything but `*` and `\`, and three stars
    ///   in a row.
    package init(parsing pattern: String) throws(GlobFailure) {
        let bytes = Array(pattern.utf8)
        guard !bytes.isEmpty else { throw .empty }
        guard bytes.count <= Self.maximumLength else { throw .tooLong }
        var tokens: [Token] = []
        var index = 0
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "\\"):
                index += 1
                guard index < bytes.count, bytes[index] == UInt8(ascii: "*") || bytes[index] == UInt8(ascii: "\\")
                else { throw .escape }
                tokens.append(.byte(bytes[index]))
            case UInt8(ascii: "*"):
                let stars = bytes[index...].prefix { $0 == UInt8(ascii: "*") }.count
                guard stars <= 2 else { throw .stars }
                tokens.append(stars == 2 ? .anything : .segment)
                index += stars - 1
            case let byte: tokens.append(.byte(byte))
            }
            index += 1
        }
        self.pattern = ExactString(pattern)
        self.tokens = tokens
        literal = Self.literal(tokens)
    }

    package var hasWildcard: Bool { literal == nil }

    /// Whether the pattern spans all of `text`. Time is at most the product of both lengths.
    package func matches(_ text: ExactString) -> Bool {
        if let literal { return literal == text }
        guard text.utf8.count <= Self.maximumTextLength else { return false }
        var reachable = start
        for byte in text.utf8 {
            guard advance(&reachable, over: byte) else { return false }
        }
        return reachable[tokens.count]
    }

    /// The positions in `tokens` that are reachable before any text; `tokens.count` is the end.
    var start: [Bool] {
        var reachable = [Bool](repeating: false, count: tokens.count + 1)
        reachable[0] = true
        skipWildcards(&reachable)
        return reachable
    }

    /// Steps to the positions that are reachable after one more byte of text.
    /// - Returns: whether there are any.
    func advance(_ reachable: inout [Bool], over byte: UInt8) -> Bool {
        let isSeparator = byte == UInt8(ascii: "/") || byte == UInt8(ascii: ":")
        var isAlive = false
        // From the end, so that a position is read before its own successor overwrites it.
        for index in stride(from: tokens.count, through: 0, by: -1) {
            var next = false
            if index > 0, reachable[index - 1], tokens[index - 1] == .byte(byte) { next = true }
            if index < tokens.count, reachable[index] {
                switch tokens[index] {
                case .byte: break
                case .segment: next = next || !isSeparator
                case .anything: next = true
                }
            }
            reachable[index] = next
            isAlive = isAlive || next
        }
        guard isAlive else { return false }
        skipWildcards(&reachable)
        return true
    }

    /// A wildcard may also match nothing: what stands behind it is reachable with it.
    func skipWildcards(_ reachable: inout [Bool]) {
        for (index, token) in tokens.enumerated() where reachable[index] {
            if case .byte = token { continue }
            reachable[index + 1] = true
        }
    }

    private static func literal(_ tokens: [Token]) -> ExactString? {
        var bytes: [UInt8] = []
        for token in tokens {
            guard case .byte(let byte) = token else { return nil }
            bytes.append(byte)
        }
        return ExactString(validating: bytes[...])
    }
}

/// Why text is not a pattern.
package enum GlobFailure: Error, Sendable, Equatable, CustomStringConvertible {
    case empty, tooLong, escape, stars

    package var description: String {
        switch self {
        case .empty: "a pattern must not be empty"
        case .tooLong: "a pattern has at most \(Glob.maximumLength) bytes"
        case .escape: #"in a pattern a backslash stands only before * (\*) or another backslash (\\)"#
        case .stars: "a pattern has at most two stars in a row"
        }
    }
}
