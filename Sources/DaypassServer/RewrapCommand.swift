import ArgumentParser
import Broker
import BrokerHTTP
import BrokerSQLite
import Foundation
import Logging

/// `daypassd rewrap`: another master key for what the store holds.
struct RewrapCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rewrap",
        abstract: "Seal every secret of the store anew, under another master key.",
        discussion: """
            The daemon has to be stopped: it seals with one master key, and would go on sealing with the old one. What is \
            interrupted can be run again, and goes on where it stopped. The file of the old key is left alone: when this \
            has ended well, put the new one in its place.

            Example: daypassd rewrap --config config/daypass.yaml --new-master-key-file config/data/master.key.new
            """)

    @OptionGroup var options: ConfigurationOptions

    @Option(
        name: .long,
        help: ArgumentHelp("The file of the new master key. It is made where there is none.", valueName: "file"))
    var newMasterKeyFile: String

    mutating func run() async throws {
        let (configuration, _) = try ConfigurationFile.read(options.path)
        let path = URL(filePath: newMasterKeyFile).standardizedFileURL.path(percentEncoded: false)
        for line in try await Self.rewrap(configuration, underKeyIn: path) { print(line) }
    }

    /// - Returns: what was done, and what is left to do, a line each.
    static func rewrap(
        _ configuration: BrokerConfiguration, underKeyIn path: String, clock: any BrokerClock = SystemClock()
    ) async throws -> [String] {
        let old = try MasterKeyFile.read(configuration.masterKeyFile)
        // The lock first: without it a new key would be made for nothing.
        let store = try Daemon.openStore(configuration, .existing, Logger(label: "daypassd") { _ in JSONLogHandler() })
        do {
            var lines: [String] = []
            let new: MasterKey
            if FileManager.default.fileExists(atPath: path) {
                new = try MasterKeyFile.read(path)
            } else {
                new = try MasterKeyFile.create(path)
                lines.append("made the master key \(new.id) in \(path) (0600): keep a copy of it")
            }
            guard new.id != old.id else {
                throw CommandFailure("\(path) holds the same master key as \(configuration.masterKeyFile)")
            }
            try await sign(store, with: [old, new])
            let rewrap = Rewrap(store, from: old, to: new, clock: clock)
            let outcome = try await rewrap.run(by: .command(uid: getuid(), loginUID: LoginUID.of(getpid())))
            await store.close()
            let total = outcome.resealed + outcome.alreadySealed
            lines.append(
                "master key \(new.id) seals all \(total) secrets: \(outcome.resealed) anew, "
                    + "\(outcome.alreadySealed) before")
            let file = configuration.masterKeyFile
            lines.append("now put it in the place of the old one: mv \(file) \(file).old && mv \(path) \(file)")
            lines.append("keep the old key with the backups that it opens, and no longer")
            return lines
        } catch {
            await store.close()
            throw CommandFailure("\(error)")
        }
    }

    /// Has checkpoints made of the records of many rows, as the broker would.
    private static func sign(_ store: SQLiteStore, with masterKeys: [MasterKey]) async throws {
        let records = try await store.checkpointKeys()
        guard let keys = masterKeys.lazy.compactMap({ try? CheckpointKeys(opening: records, with: $0) }).first else {
            return
        }
        _ = await store.verifyAuditAtStart(with: keys)
    }
}
