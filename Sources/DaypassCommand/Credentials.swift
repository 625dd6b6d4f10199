import ArgumentParser
import BrokerClient

/// `daypass credentials`
struct Credentials: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The secrets that providers know the broker by.",
        discussion: """
            They are kept in versions: staged, active, draining, retired. Nothing gives a secret back.

            Example: daypass credentials list
            """,
        subcommands: [CredentialsAdd.self, CredentialsList.self, CredentialsPromote.self, CredentialsRetire.self])
}

struct CredentialsList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the versions, of one provider or of all.",
        discussion: "Example: daypass credentials list anthropic --json")

    @Argument(help: "The provider; all where it is left out.")
    var provider: String?

    @OptionGroup var list: ListOptions
    @OptionGroup var broker: BrokerOptions

    func validate() throws {
        if let provider { try Provider.check(provider) }
    }

    func run() async throws {
        try await broker.withClient { client in
            let path = provider.map { "credentials/\($0)/versions" } ?? "credentials"
            try broker.print(
                try await client.list(path, "credentials", atMost: list.limit), "credentials", Self.columns)
        }
    }

    static let columns: KeyValuePairs = [
        "PROVIDER": "provider", "VERSION": "version", "STATE": "state", "SINCE": "since", "CREATED": "created",
        "FIRST USE": "first_used", "LAST USE": "last_used", "BY": "caller",
    ]
}

struct CredentialsPromote: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "promote", abstract: "Let requests begin with this version, and the active one drain.",
        discussion: """
            What is under way with the active one goes on with it. The same command with its number takes it back.

            Example: daypass credentials promote anthropic 2
            """)

    @Argument(help: "The provider.")
    var provider: String

    @Argument(help: "The version; where it is left out, the one that is staged.")
    var version: Int?

    @OptionGroup var broker: BrokerOptions

    func validate() throws {
        try Provider.check(provider)
        guard version ?? 1 > 0 else { throw ValidationError("A version is a number from 1 on.") }
    }

    func run() async throws {
        try await broker.withClient { client in
            let number = if let version { version } else { try await staged(client) }
            let promoted = try await client.post("credentials/\(provider)/versions/\(number)/promote")
            guard !broker.json else { return try Terminal.print(promoted) }
            let versions = ["active", "draining"].compactMap { promoted[$0] }
            Terminal.print(Table(versions, CredentialsList.columns))
        }
    }

    private func staged(_ client: AdministrationClient) async throws -> Int {
        let known = try await client.list("credentials/\(provider)/versions", "credentials", atMost: 100_000).elements
        let staged = known.filter { $0["state"]?.text == "staged" }.compactMap { $0["version"]?.count }
        guard let number = staged.first, staged.count == 1 else {
            throw CommandFailure(
                .refused,
                staged.isEmpty
                    ? "no version of the credential of \(provider) is staged"
                    : "versions \(staged.map(String.init).joined(separator: ", ")) of the credential of \(provider) are "
                        + "staged: say which one")
        }
        return number
    }
}

struct CredentialsRetire: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retire", abstract: "Take a version out of use for good, and erase its secret.",
        discussion: """
            The active version cannot be retired: promote another one first. LAST USE says when a draining one was used \
            last.

            Example: daypass credentials retire anthropic 1 --dry-run
            """)

    @Argument(help: "The provider.")
    var provider: String

    @Argument(help: "The version.")
    var version: Int

    @OptionGroup var destructive: DestructiveOptions
    @OptionGroup var broker: BrokerOptions

    func validate() throws {
        try Provider.check(provider)
        guard version > 0 else { throw ValidationError("A version is a number from 1 on.") }
    }

    func run() async throws {
        try await broker.withClient { client in
            if destructive.dryRun || !destructive.yes {
                let known = try await client.list("credentials/\(provider)/versions", "credentials", atMost: 100_000)
                guard let found = known.elements.first(where: { $0["version"]?.count == version }) else {
                    throw CommandFailure(
                        .refused, "there is no version \(version) of the credential of \(provider)")
                }
                guard !destructive.dryRun else {
                    if !broker.json { Terminal.note(Self.outcome(found["state"]?.text)) }
                    return try broker.print(([found], true), "credentials", CredentialsList.columns)
                }
                let lines = Table([found], CredentialsList.columns).lines(columns: Terminal.columns)
                for line in lines { Terminal.note(line) }
                try destructive.confirm("Retire version \(version) of the credential of \(provider).")
            }
            let retired = try await client.post("credentials/\(provider)/versions/\(version)/retire")
            guard !broker.json else { return try Terminal.print(retired) }
            Terminal.print(Table([retired], CredentialsList.columns))
        }
    }

    private static func outcome(_ state: String?) -> String {
        switch state {
        case "active": "the active version is not retired: promote another one first"
        case "retired": "it is retired already"
        default: "this version would be retired, and its secret erased:"
        }
    }
}

/// The argument PROVIDER: it becomes a part of a path.
enum Provider {
    /// - Throws: in words that do not repeat it: it may be a secret that was given in its place.
    static func check(_ name: String) throws {
        let isPlain = name.utf8.allSatisfy {
            (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-")
        }
        guard (1...63).contains(name.utf8.count), isPlain, (0x61...0x7A).contains(name.utf8.first ?? 0) else {
            throw ValidationError(
                "PROVIDER is a name such as anthropic: 1 to 63 small letters, digits and hyphens, a letter first.")
        }
    }
}
