import ArgumentParser
import Broker
import BrokerSQLite
import Foundation
import JOSE
import Logging

/// `daypassd init`: what serving needs and a configuration names, made where it is missing.
struct Init: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make the folders, the master key, the store and its first signing keys.",
        discussion: """
            What exists is never overwritten, so it can be run again. Where there is no configuration file either, the \
            one that Daypass is shipped with is written first.

            Example: daypassd init --config config/daypass.yaml
            """)

    @OptionGroup var options: ConfigurationOptions

    mutating func run() async throws {
        for path in try ConfigurationFile.writeShipped(at: options.path) { print("wrote \(path)") }
        let (configuration, _) = try ConfigurationFile.read(options.path)
        for line in try await Installation.make(configuration) { print(line) }
    }
}

/// What a configuration needs before it can be served.
enum Installation {
    /// Makes what is missing.
    /// - Returns: a line for each thing: made, or already there.
    static func make(_ configuration: BrokerConfiguration, clock: any BrokerClock = SystemClock()) async throws
        -> [String]
    {
        guard case .sqlite(let path) = configuration.store else { throw CommandFailure("no such store") }
        var lines: [String] = []
        for file in [path, configuration.masterKeyFile] {
            let folder = URL(filePath: file).deletingLastPathComponent().path(percentEncoded: false)
            if try makeFolder(folder) { lines.append("made the folder \(folder) (0700)") }
        }
        let logger = Logger(label: "daypassd") { _ in JSONLogHandler() }
        let store = try Daemon.openStore(configuration, .creating, logger)
        do {
            let existing = try await store.signingKeys()
            let (masterKey, line) = try masterKey(
                in: configuration.masterKeyFile, thatSealed: existing.filter(\.state.isPublished))
            lines.append(line)
            lines += try await makeKeys(
                in: store, at: path, existing, masterKey, configuration.tokens.signing.algorithm, clock)
        } catch {
            await store.close()
            throw CommandFailure("\(error)")
        }
        await store.close()
        return lines
    }

    /// - Returns: the key, and a line on where it came from.
    private static func masterKey(
        in path: String, thatSealed keys: [SigningKeyRecord]
    ) throws -> (MasterKey, line: String) {
        if FileManager.default.fileExists(atPath: path) {
            let key = try MasterKeyFile.read(path)
            return (key, "kept the master key \(key.id) in \(path)")
        }
        // A new one could not open them, and would stand in the place of the one that can.
        if let sealed = keys.first {
            throw CommandFailure(
                "\(path): there is no such file, and the store has signing keys that master key \(sealed.masterKeyID) "
                    + "sealed: put the copy of that key there")
        }
        let key = try MasterKeyFile.create(path)
        return (key, "made the master key \(key.id) in \(path) (0600): keep a copy of it")
    }

    private static func makeKeys(
        in store: SQLiteStore, at path: String, _ existing: [SigningKeyRecord], _ masterKey: MasterKey,
        _ algorithm: JWSAlgorithm, _ clock: any BrokerClock
    ) async throws -> [String] {
        guard existing.isEmpty else {
            _ = try KeyRing(opening: existing, with: masterKey)
            return ["kept \(existing.count { $0.state.isPublished }) signing keys in \(path)"]
        }
        let keys = try SigningKey.generateFirst(algorithm, sealedWith: masterKey, at: clock.now)
        try await store.insertFirstSigningKeys(keys)
        return keys.map { "made the \($0.state.rawValue) \(algorithm.rawValue) signing key \($0.keyID) in \(path)" }
    }

    /// - Returns: false where it was there already.
    private static func makeFolder(_ path: String) throws -> Bool {
        guard !FileManager.default.fileExists(atPath: path) else { return false }
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw CommandFailure(making: path, error)
        }
        return true
    }
}
