/// Text that grants something to whoever reads it: an identity token, or a gateway token.
///
/// Interpolated, printed or reflected it shows nothing; `reveal()` marks each place where it leaves.
package struct TokenText: Sendable, Hashable {
    /// In bytes: what a client of a helper reads at most.
    package static let maximumLength = 16 * 1024

    private let text: String

    /// - Returns: nil unless it has 1 to 16384 characters, all of them printable ASCII and none a blank.
    package init?(_ text: some StringProtocol) {
        guard (1...Self.maximumLength).contains(text.utf8.count),
            text.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else { return nil }
        self.text = String(text)
    }

    package func reveal() -> String { text }

    /// SHA-256 of it, in hexadecimal digits.
    package var digest: String { Fingerprint.hexadecimal(of: text.utf8) }
}

extension TokenText: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "(secret)" }
    package var debugDescription: String { "(secret)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

extension TokenText {
    /// A text of somebody else, for a person: one line, without anything in it that has the form of a signed token, nor
    /// of a secret that is known.
    /// - Parameter secrets: what it must not repeat.
    package static func hidden(in text: String, _ secrets: [TokenText] = []) -> String {
        let known = secrets.reduce(text) { $0.replacing($1.text, with: "(a token)") }
        var (output, rest) = ("", known[...])
        // The header of a signed token begins like every JSON object.
        while let start = rest.firstRange(of: "eyJ") {
            let run = rest[start.lowerBound...].prefix { isOfToken($0) }
            output += rest[..<start.lowerBound] + (run.utf8.count >= 12 ? "(a token)" : run)
            rest = rest[run.endIndex...]
        }
        let whole = output + rest
        // By bytes: one character may have any number of them.
        return whole.utf8.count > 500 ? "\(String(decoding: whole.utf8.prefix(500), as: UTF8.self))…" : whole
    }

    private static func isOfToken(_ character: Character) -> Bool {
        character.isASCII && (character.isLetter || character.isNumber || "-_.+/=~%".contains(character))
    }
}
