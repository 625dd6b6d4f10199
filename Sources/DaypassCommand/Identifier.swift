import ArgumentParser

/// The id of a key or a session: it becomes a part of a path.
struct Identifier: ExpressibleByArgument {
    let text: String

    init?(argument: String) {
        let isPlain = argument.utf8.allSatisfy {
            (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x2D
                || $0 == 0x5F
        }
        guard (1...128).contains(argument.utf8.count), isPlain else { return nil }
        text = argument
    }

    /// Of a token or a session, and of a key.
    private static let lengths = [22, 43]

    /// The arguments with ids that begin with a hyphen, as one of 64 does, behind `--`, where no option is looked for.
    static func behindOptions(_ arguments: [String]) -> [String] {
        let isID = { (argument: String) in
            argument.hasPrefix("-") && lengths.contains(argument.utf8.count) && Identifier(argument: argument) != nil
        }
        guard !arguments.contains("--"), arguments.contains(where: isID) else { return arguments }
        return arguments.filter { !isID($0) } + ["--"] + arguments.filter(isID)
    }
}
