import ArgumentParser

/// What stands on a command line of `daypass credentials` where it has no business: it may be a secret, which the parser's
/// words would repeat on standard error.
enum UnshownArguments {
    /// What to say of an error of these arguments.
    static func words(for error: any Error, _ arguments: [String]) -> String {
        let words = Daypass.fullMessage(for: error)
        guard Daypass.exitCode(for: error) == .validationFailure, isOfCredentials(arguments) else { return words }
        let shown = shown(arguments)
        do {
            _ = try Daypass.parseAsRoot(shown)
        } catch  where Daypass.exitCode(for: error) == .validationFailure {
            // The parser's words for arguments that hold nothing.
            return Daypass.fullMessage(for: error) + (shown == arguments ? "" : "\n\(warning)")
        } catch {}
        // The parser takes the one and the other alike, and a command has refused it, which repeats nothing.
        return words
    }

    private static let warning =
        "A secret is not given as an argument: `ps` and the shell's history show it. Hand it to `daypass credentials add` "
        + "on standard input, or with --file; one that was on a command line is best replaced at the provider."

    /// Also where the word is misspelt.
    private static func isOfCredentials(_ arguments: [String]) -> Bool {
        arguments.contains { $0.lowercased().hasPrefix("cred") }
    }

    /// The arguments, with a word in the place of each that is neither a subcommand, an option nor a number.
    private static func shown(_ arguments: [String]) -> [String] {
        let commands = Credentials.configuration.subcommands
        let words = Set(commands.compactMap { $0.configuration.commandName } + ["credentials", "help", "--", "-h"])
        let help = commands.map { Daypass.helpMessage(for: $0) }.joined()
        let options = Set(
            help.split { !$0.isASCII || !($0.isLetter || $0 == "-") }.filter { $0.hasPrefix("--") }.map(String.init))
        return arguments.map { argument in
            let name = argument.prefix { $0 != "=" }
            if words.contains(argument) || options.contains(argument) { return argument }
            if options.contains(String(name)) { return "\(name)=not-shown" }
            if argument.hasPrefix("-") { return "--not-shown" }
            return Int(argument) != nil && argument.utf8.count < 10 ? argument : "not-shown"
        }
    }
}
