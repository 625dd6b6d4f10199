import ArgumentParser
import Broker
import BrokerConfigurationYAML

/// `daypassd check`: whether a configuration could be served.
struct Check: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check a configuration, and every file that it includes.",
        discussion: """
            Errors go to standard error, each with file, line, column and what was expected; then it exits with 1. \
            Nothing is contacted and nothing is written.

            Example: daypassd check --config config/daypass.yaml
            """)

    @OptionGroup var options: ConfigurationOptions

    mutating func run() async throws {
        let (configuration, notes) = try ConfigurationFile.read(options.path)
        for note in notes { StandardError.write("warning: \(note)\n") }
        let issuers = configuration.issuers.count
        let rules = configuration.rules.rules.count
        print(
            "\(options.config): valid, \(issuers) issuer\(issuers == 1 ? "" : "s"), \(rules) rule\(rules == 1 ? "" : "s")"
        )
    }
}
