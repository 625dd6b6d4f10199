import ArgumentParser
import Broker
import BrokerSQLite
import Foundation

/// `daypassd backup FILE`: a copy of the store, also while a broker serves from it.
struct Backup: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write a consistent copy of the store, whether the broker runs or not.",
        discussion: """
            It holds everything that was recorded before it began, for its owner alone (0600), and never takes the place \
            of a file. The master key is not part of it: keep a copy of that elsewhere.

            Example: daypassd backup /var/backups/daypass-2026-11-21.db --config config/daypass.yaml
            """)

    @Argument(help: ArgumentHelp("The file to write; there must be none.", valueName: "file"))
    var file: String

    @OptionGroup var options: ConfigurationOptions

    mutating func run() async throws {
        let (configuration, _) = try ConfigurationFile.read(options.path)
        guard case .sqlite(let store) = configuration.store else { throw CommandFailure("no such store") }
        let backup: StoreBackup
        do {
            backup = try StoreBackup(of: store, to: file, at: Date())
        } catch {
            throw CommandFailure("\(error)")
        }
        let last = backup.lastRecord.map { "last audit record \($0.formatted(.iso8601))" } ?? "no audit record"
        print("wrote \(backup.path) (0600): \(backup.bytes) bytes, generation \(backup.generation), \(last)")
        print("the master key is not in it: without \(configuration.masterKeyFile), or a copy, it cannot be restored")
    }
}
