import ArgumentParser

/// The id of a key or a session: it becomes a part of a path.
struct Identifier: ExpressibleByArgument {
    let text: String

    init?(argument: String) {
        guard (1...128).contains(argument.utf8.count), argument.allSatisfy(Self.isPlain) else { return nil }
        text = argument
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
        guard argument.hasPrefix("-"), Identifier(argument: argument) != nil, argument != "-help" else { return false }
        return lengths.contains(argument.utf8.count) || (argument.utf8.count > 2 && !argument.hasPrefix("--"))
    }
}
