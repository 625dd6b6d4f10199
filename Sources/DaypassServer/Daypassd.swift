import ArgumentParser
import Broker
import BrokerHTTP
import Foundation
import NIOCore

/// The broker's daemon and what prepares, checks and shows it.
struct Daypassd: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "daypassd",
        abstract: "Exchanges proofs of identity for short-lived gateway tokens.",
        discussion: """
            Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
            """,
        version: BuildVersion.text,
        subcommands: [
            Init.self, Check.self, Serve.self, Demo.self, Backup.self, Restore.self, RewrapCommand.self,
        ])
}

/// Where every command finds its configuration.
struct ConfigurationOptions: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("The configuration file.", valueName: "file"))
    var config = "config/daypass.yaml"

    /// Absolute, so that messages and relative paths within mean the same wherever they are read.
    var path: String {
        URL(filePath: config).standardizedFileURL.path(percentEncoded: false)
    }
}

/// A failure in words for whoever ran the command.
struct CommandFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }

    /// That a file or folder could not be made, in the operating system's words where there are any.
    init(making path: String, _ error: any Error) {
        let cause = (error as? CocoaError)?.underlying as? POSIXError
        let words = cause.map { String(cString: strerror($0.code.rawValue)) } ?? error.localizedDescription
        self.init("\(path): cannot be made: \(words)")
    }
}

@main
enum Main {
    static func main() async {
        Process.restrict()
        NIOSingletons.groupLoopCountSuggestion = UsableProcessors.count
        do {
            let command = try Daypassd.parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                var command = command
                try command.run()
            }
        } catch let failure as CommandFailure {
            StandardError.write("daypassd: \(failure)\n")
            exit(1)
        } catch {
            let isUsage = Daypassd.exitCode(for: error) == .validationFailure
            let text = Daypassd.fullMessage(for: error)
            if Daypassd.exitCode(for: error) == .success {
                print(text)
                exit(0)
            }
            StandardError.write(text + "\n")
            exit(isUsage ? 2 : 1)
        }
    }
}
