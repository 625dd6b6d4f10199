import ArgumentParser

/// The id of a key or a session: it becomes a part of a path.
struct Identifier {
    let text: String

    /// - Throws: with the form that it has.
    init(parsing argument: String) throws {
        guard Self.isIdentifier(argument) else {
            throw ValidationError(
                "an id has 1 to 128 letters, digits, - and _ (22 of a session or a token, 43 of a key)")
        }
        text = argument
    }

    private static func isIdentifier(_ text: String) -> Bool {
        (1...128).contains(text.utf8.count) && text.allSatisfy(isPlain)
    }

    /// Whether it is a character of base64url, as ids are made of.
    static func isPlain(_ character: Character) -> Bool {
        character.isASCII && (character.isLetter || character.isNumber || character == "-" || character == "_")
    }

    /// Of a token or a session, and of a key.
    private static let lengths = [22, 43]

    /// The arguments with ids that begin with a hyphen, as one of 64 does, behind `--`, where no option is looked for.
    static func behindOptions(_ arguments: [String]) -> [String] {
        guard !arguments.contains("--"), arguments.contains(where: isHyphenated) else { return arguments }
        return arguments.filter { !isHyphenated($0) } + ["--"] + arguments.filter(isHyphenated)
    }

    /// Behind one hyphen there is no option of more than a letter; behind two, what has an id's length.
    private static func isHyphenated(_ argument: String) -> Bool {
        guard argument.hasPrefix("-"), isIdentifier(argument), argument != "-help" else { return false }
        return lengths.contains(argument.utf8.count) || (argument.utf8.count > 2 && !argument.hasPrefix("--"))
    }
}

/// A trace id, as the broker writes it: 32 hexadecimal digits, here also large ones.
struct TraceArgument {
    let text: String

    /// - Throws: with the form that it has.
    init(parsing argument: String) throws {
        guard argument.utf8.count == 32, argument.allSatisfy({ $0.isASCII && $0.isHexDigit }) else {
            throw ValidationError("a trace id is 32 hexadecimal digits, as in the header Daypass-Trace-Id")
        }
        text = argument.lowercased()
    }
}
