import ArgumentParser
import BrokerClient

/// `daypass keys`
struct Keys: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The broker's signing keys.",
        discussion: "Example: daypass keys list",
        subcommands: [KeysList.self, KeysRotate.self, KeysActivate.self, KeysRevoke.self])
}

struct KeysList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the signing keys and their states.",
        discussion: "Example: daypass keys list --json")

    @OptionGroup var broker: BrokerOptions

    func run() async throws {
        try await broker.withClient { client in
            let keys = try await client.get("keys").list("keys")
            try broker.print((keys, true), "keys", Self.columns)
        }
    }

    static let columns: KeyValuePairs = [
        "KEY": "kid", "STATE": "state", "ALGORITHM": "algorithm", "CREATED": "created", "SINCE": "since",
    ]
}

struct KeysRotate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate", abstract: "Let the staged key sign, and stage a new one.",
        discussion: """
            Tokens of the key before stay good until they expire. With --force the staged key signs even where it has not \
            been published for tokens.signing.publish_lead: a gateway that caches keys may refuse new tokens meanwhile.

            Example: daypass keys rotate
            """)

    @OptionGroup var broker: BrokerOptions

    @Flag(help: "Also before the staged key was published for long enough; asks first.")
    var force = false

    @Flag(help: "Show what would change, and change nothing.")
    var dryRun = false

    @Flag(help: "Do not ask.")
    var yes = false

    func validate() throws {
        guard force else { return }
        var options = DestructiveOptions()
        (options.dryRun, options.yes) = (dryRun, yes)
        try options.validate()
    }

    func run() async throws {
        try await broker.withClient { client in
            guard !dryRun else {
                let keys = try await client.get("keys").list("keys")
                let affected = keys.filter { ["active", "staged"].contains($0["state"]?.text) }
                if !broker.json { Terminal.note("the staged key would sign, and the active one only verify:") }
                return try broker.print((affected, true), "keys", KeysList.columns)
            }
            if force {
                var options = DestructiveOptions()
                options.yes = yes
                try options.confirm("Gateways that cache keys may refuse new tokens for a while.")
            }
            let change = try await client.post("keys/rotate", force ? .object(["force": .bool(true)]) : nil)
            try broker.print(keyChange: change)
        }
    }
}

struct KeysActivate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "activate", abstract: "Let this key sign.",
        discussion: "Example: daypass keys activate iG2zPSpKUS5YHxfFrB5A0u3mrtFNQO8Wx_SQaMHRoHk")

    @OptionGroup var broker: BrokerOptions

    @Argument(help: "The key's id, as `daypass keys list` shows it.", transform: Identifier.init(parsing:))
    var key: Identifier

    func run() async throws {
        try await broker.withClient { client in
            try broker.print(keyChange: try await client.post("keys/\(key.text)/activate"))
        }
    }
}

struct KeysRevoke: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "End every token that this key signed.",
        discussion: """
            If it is the active one, the staged key signs at once.

            Example: daypass keys revoke iG2zPSpKUS5YHxfFrB5A0u3mrtFNQO8Wx_SQaMHRoHk --reason "copied to a laptop"
            """)

    @OptionGroup var broker: BrokerOptions
    @OptionGroup var revoking: RevokingOptions

    @Argument(help: "The key's id, as `daypass keys list` shows it.", transform: Identifier.init(parsing:))
    var key: Identifier

    func run() async throws {
        try await revoking.revoke(["kind": .string("key"), "value": .string(key.text)], "key \(key.text)", broker)
    }
}

extension BrokerOptions {
    fileprivate func print(keyChange change: JSON) throws {
        guard !json else { return try Terminal.print(change) }
        let states = ["active", "retiring", "staged"].filter { change[$0] != nil }
        Terminal.print(Table(["KEY", "STATE"], states.map { [change.cell($0), $0] }))
    }
}
