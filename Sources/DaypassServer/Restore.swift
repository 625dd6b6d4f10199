import ArgumentParser
import Broker
import BrokerHTTP
import BrokerSQLite
import Foundation
import JOSE
import Logging

/// `daypassd restore FILE`: a store from a backup, of a new generation.
struct Restore: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make the store anew from a backup, while no broker runs. Every gateway token dies.",
        discussion: """
            What happened after the backup is lost, revocations and blocks too; so no token of before stays good: all \
            signing keys are retired and new ones made. A store that is there is left alone, or, with --replace, kept \
            beside the new one.

            Example: daypassd restore --replace /var/backups/daypass-2026-11-21.db --config config/daypass.yaml
            """)

    @Argument(help: ArgumentHelp("The backup; it is only read.", valueName: "file"))
    var file: String

    @OptionGroup var options: ConfigurationOptions

    @Flag(name: .long, help: "Keep the store that is there under another name, and restore in its place.")
    var replace = false

    @Flag(
        name: .long,
        help: "Restore although the clock is more than 5 minutes before the last audit record: it was ahead then.")
    var acceptEarlierClock = false

    mutating func run() async throws {
        let (configuration, _) = try ConfigurationFile.read(options.path)
        let restoring = Restoring(
            configuration, file: file, replacing: replace, acceptsEarlierClock: acceptEarlierClock)
        for line in try await restoring.run() { print(line) }
    }
}

/// The steps of restoring a store. Until the last one nothing but a file of its own has changed.
struct Restoring {
    private let configuration: BrokerConfiguration
    private let file: String
    private let replacing: Bool
    private let acceptsEarlierClock: Bool
    private let clock: any BrokerClock
    private let logger = Logger(label: "daypassd") { _ in JSONLogHandler() }

    init(
        _ configuration: BrokerConfiguration, file: String, replacing: Bool, acceptsEarlierClock: Bool,
        clock: any BrokerClock = SystemClock()
    ) {
        self.configuration = configuration
        self.file = file
        self.replacing = replacing
        self.acceptsEarlierClock = acceptsEarlierClock
        self.clock = clock
    }

    /// - Returns: what was done and what remains to be done, a line each.
    func run() async throws -> [String] {
        guard case .sqlite(let path) = configuration.store else { throw CommandFailure("no such store") }
        let masterKey = try MasterKeyFile.read(configuration.masterKeyFile)
        let restore: StoreRestore
        do {
            restore = try StoreRestore(from: file, to: path, replacing: replacing, logger: logger)
        } catch {
            throw CommandFailure("\(error)")
        }
        do {
            let (old, last, secrets) = try await check(restore, masterKey)
            let new = StoreGeneration(
                number: max(old.number, restore.replaced?.generation ?? 1) + 1, backedUp: old.backedUp ?? last,
                restored: clock.now)
            let keys = try SigningKey.generateFirst(
                configuration.tokens.signing.algorithm, sealedWith: masterKey, at: clock.now)
            let skipped = try await restore.store.skipCredentials(
                to: restore.replaced?.credentials ?? [], at: clock.now, masterKeyID: masterKey.id)
            try await restore.store.begin(new, with: keys, event(from: old, to: new, lastRecord: last, skipped))
            let kept = try await restore.commit(at: clock.now)
            return lines(restore.path, old, new, secrets, keys, kept)
        } catch {
            await restore.discard()
            throw CommandFailure("\(error)")
        }
    }

    /// That the copy can be served with this master key and this clock.
    private func check(
        _ restore: StoreRestore, _ masterKey: MasterKey
    ) async throws -> (StoreGeneration, lastRecord: Date?, secrets: Int) {
        // The others are erased.
        let keys = try await restore.store.signingKeys().filter(\.state.isPublished)
        for key in keys { _ = try SigningKey(opening: key, with: masterKey) }
        let bundles = try await restore.store.trustBundles()
        for bundle in bundles where !bundle.opens(with: masterKey) {
            throw CommandFailure(
                "the stored trust bundle of \(bundle.trustDomain), which master key \(bundle.masterKeyID) sealed, does not "
                    + "open with \(masterKey.id)")
        }
        let credentials = try await restore.store.sealedRows().filter(\.isProviderCredential)
        if let damaged = try ProviderCredentials.damaged(among: credentials, sealedWith: masterKey).first {
            throw CredentialFailure.damaged(damaged)
        }
        let checkpointKeys = try await restore.store.checkpointKeys()
        _ = try CheckpointKeys(opening: checkpointKeys, with: masterKey)
        let last = try await restore.store.lastAuditTime()
        let known = [last, restore.replaced?.lastRecord].compactMap(\.self).max()
        try StartTime.check(clock.now, against: known, accepting: acceptsEarlierClock, logger)
        let count = keys.count + bundles.count + credentials.count + checkpointKeys.count
        return (try await restore.store.generation(), last, count)
    }

    private func event(
        from old: StoreGeneration, to new: StoreGeneration, lastRecord: Date?, _ skipped: [CredentialPosition]
    ) -> AuditEvent {
        var details: JSONObject = [
            "caller": .object(Caller.command(uid: getuid(), loginUID: LoginUID.of(getpid())).json),
            "from_generation": .number(Double(old.number)), "to_generation": .number(Double(new.number)),
            "file": .string(ExactString(URL(filePath: file).standardizedFileURL.path(percentEncoded: false))),
        ]
        for (name, time) in [("backed_up", new.backedUp), ("last_record", lastRecord)] {
            if let time { _ = details.append(ExactString(name), .string(ExactString(time.formatted(.iso8601)))) }
        }
        if !skipped.isEmpty {
            let numbers = skipped.map { JSONValue.string(ExactString("\($0.provider)/\($0.number)")) }
            _ = details.append("retired_credentials", .array(numbers))
        }
        return AuditEvent(
            time: clock.now, trace: TraceID(at: clock.now), kind: .storeRestored, issuer: nil, subject: nil,
            details: details)
    }

    private func lines(
        _ path: String, _ old: StoreGeneration, _ new: StoreGeneration, _ secrets: Int, _ keys: [SigningKeyRecord],
        _ kept: String?
    ) -> [String] {
        let time = new.backedUp?.formatted(.iso8601) ?? "the backup"
        var lines = ["restored \(path): generation \(new.number), from generation \(old.number) as of \(time)"]
        if let kept { lines.append("kept the store that was there as \(kept)") }
        lines += keys.map { "made the \($0.state.rawValue) \($0.algorithm.rawValue) signing key \($0.keyID)" }
        return lines + [
            "the master key opened all \(secrets) sealed rows; every earlier signing key is retired, and its tokens dead",
            "what happened after \(time) is lost. Before you serve:",
            "  - block again whoever was blocked since then: blocks and revocations of that time are gone",
            "  - have rotated again whatever was rotated since then: master key, trust bundles, provider credentials",
            "  - have gateways that verify by themselves fetch the keys anew, or they trust the old ones until they do",
            "  - clients get new tokens by themselves: a proof that was issued before now and may be used only so often is "
                + "refused, a newer one is not",
        ]
    }
}
