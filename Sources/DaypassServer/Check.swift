import ArgumentParser
import Broker
import BrokerConfigurationYAML
import Glibc

/// `daypassd check`: whether a configuration could be served.
struct Check: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check a configuration, and every file that it includes.",
        discussion: """
            Errors go to standard error, each with file, line, column and what was expected; then it exits with 1. \
            Warnings are for what is valid and most likely not meant: rules that test too little, can never match or \
            are never reached, names where an id exists. The file of sign_in's client secret is looked at where it is \
            there. Nothing is contacted and nothing is written.

            Example: daypassd check --strict --config config/daypass.yaml
            """)

    @OptionGroup var options: ConfigurationOptions

    @Flag(name: .long, help: "Take every warning for an error: for CI.")
    var strict = false

    mutating func run() async throws {
        let (configuration, notes) = try ConfigurationFile.read(options.path)
        guard !strict || notes.isEmpty else {
            let lines = notes.map(\.description).joined(separator: "\n")
            throw CommandFailure("the configuration has warnings, and --strict takes them for errors\n\(lines)")
        }
        if let path = configuration.signIn?.clientSecretFile {
            if access(path, F_OK) == 0 {
                _ = try SignInProvider.secret(path)
            } else {
                StandardError.write("note: \(path): not here; `daypassd serve` needs it\n")
            }
        }
        for note in notes { StandardError.write("warning: \(note)\n") }
        let counts = [
            (configuration.issuers.count, "issuer"), (configuration.trustDomains.count, "trust domain"),
            (configuration.rules.rules.count, "rule"),
        ].map { count, noun in "\(count) \(noun)\(count == 1 ? "" : "s")" }
        print("\(options.config): valid, \(counts.joined(separator: ", "))")
    }
}
