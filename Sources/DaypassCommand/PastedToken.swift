/// A token among the arguments: it is a secret, which only `daypass revoke token` has a use for, and nothing prints.
enum PastedToken {
    /// Before anything else is made of the arguments.
    static func check(_ arguments: [String]) throws {
        let count = arguments.count(where: isToken)
        guard count > 0 else { return }
        let plain = arguments.filter { !isToken($0) }
        guard count == 1, plain.contains("revoke"), plain.contains(Revoke.Kind.token.rawValue) else {
            throw CommandFailure(
                .usage,
                "an argument is a token, and no id or name; nothing was sent. To end it: daypass revoke token - < FILE")
        }
    }

    /// The text without what looks like a token among the arguments.
    static func hidden(_ text: String, _ arguments: [String]) -> String {
        arguments.filter(isToken).reduce(text) { $0.replacing($1, with: "(a token)") }
    }

    /// A signed token, or half of one, also behind a word: its header, which begins like every JSON object, and a dot.
    static func isToken(_ argument: String) -> Bool {
        var rest = argument[...]
        while let start = rest.firstRange(of: "eyJ") {
            let header = rest[start.upperBound...].prefix { Identifier.isPlain($0) }
            if header.count >= 8, rest[header.endIndex...].hasPrefix(".") { return true }
            rest = rest[start.upperBound...]
        }
        return false
    }
}
