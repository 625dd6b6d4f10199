import ArgumentParser
import BrokerClient
import FoundationEssentials
import Glibc

/// What a client is told, and whether somebody is asked before a file is changed.
struct SetupOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Where the client sends its requests.", valueName: "url"))
    var gateway: String

    @Option(help: ArgumentHelp("The broker; else DAYPASS_URL.", valueName: "url"))
    var url: String?

    @Option(help: "For daypass token: which identity; else DAYPASS_IDENTITY; without it, it finds one.")
    var identity: String?

    @Option(
        help:
            "For daypass token: the audience of identity tokens, where it is not the broker's URL; else DAYPASS_AUDIENCE."
    )
    var audience: String?

    @Option(
        help: ArgumentHelp(
            "For daypass token: the authorities that vouch for the broker's certificate, PEM; else DAYPASS_CA_FILE.",
            valueName: "file"),
        completion: .file())
    var caFile: String?

    @Option(help: "For daypass token: which rule.")
    var rule: String?

    @Option(help: "The settings file, where it is another one.", completion: .file())
    var file: String?

    @Flag(help: "Print the settings, and change nothing.")
    var print = false

    @Flag(help: "Do not ask.")
    var yes = false

    func validate() throws {
        guard !print, !yes, isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1 else { return }
        throw ValidationError("There is no terminal to ask on: give --yes or --print.")
    }

    /// The words of a command that prints a token: with all that this process was told, since a client does not always hand
    /// its own environment on, and runs it in another folder.
    func command(_ environment: [String: String]) throws -> [String] {
        guard let url = url ?? environment["DAYPASS_URL"] else {
            throw CommandFailure(.usage, "which broker? Give --url, or set DAYPASS_URL")
        }
        guard let origin = BrokerAddress.origin(parsing: url) else {
            throw CommandFailure(
                .usage,
                "the broker has to be an origin such as https://daypass.example.com (http only for a loopback host)")
        }
        guard let program = Self.ownPath else {
            throw CommandFailure(.refused, "where daypass is installed cannot be found out")
        }
        let folder = FileManager.default.currentDirectoryPath
        var words = ["DAYPASS_URL=\(origin)", program, "token"]
        if let name = identity ?? environment["DAYPASS_IDENTITY"] {
            let whole = Identity(parsing: name)?.located(in: folder)
            // A folder's name may have what ends a file's.
            guard let whole, Identity(parsing: whole.name) == whole else {
                throw CommandFailure(.usage, "the identity has to be one of \(Identity.names)")
            }
            words += ["--identity", whole.name]
        }
        if let audience = audience ?? environment["DAYPASS_AUDIENCE"] { words += ["--audience", audience] }
        if let rule { words += ["--rule", rule] }
        if let file = caFile ?? environment["DAYPASS_CA_FILE"] {
            words += ["--ca-file", file.hasPrefix("/") ? file : "\(folder)/\(file)"]
        }
        guard words.allSatisfy({ $0.unicodeScalars.allSatisfy { !$0.properties.generalCategory.isControl } }) else {
            throw CommandFailure(.usage, "an identity, a rule or the path of daypass has control characters")
        }
        return words
    }

    private static var ownPath: String? {
        guard let path = realpath("/proc/self/exe", nil) else { return nil }
        defer { free(path) }
        return String(validatingCString: path)
    }

    /// - Throws: a `CommandFailure` unless it is https, or http of a loopback host, and not the provider's own.
    func gatewayOrigin() throws -> String {
        guard GatewayAddress.parts(gateway) != nil else {
            throw CommandFailure(
                .usage,
                "--gateway has to be an address such as https://gateway.example.com (http only for a loopback host)")
        }
        guard !GatewayAddress.isProviders(gateway) else {
            throw CommandFailure(.usage, "--gateway is the provider's own address, which takes no gateway token")
        }
        return gateway.hasSuffix("/") ? String(gateway.dropLast()) : gateway
    }

    func path(_ usual: String?) throws -> String {
        guard let path = file ?? usual else {
            throw CommandFailure(.usage, "HOME is not set: name the settings file with --file")
        }
        return path
    }

    static func unreadable(_ path: String, _ wanted: String) -> CommandFailure {
        CommandFailure(
            .refused, "\(path) cannot be read as \(wanted); nothing was changed. --print shows what to write into it")
    }

    /// One setting.
    struct Change {
        let name: String
        /// Nil where there was none.
        let old: String?
        let new: String
    }

    /// Shows what would be otherwise, asks, and writes.
    func write(_ text: String, to file: SettingsFile, _ changes: [Change]) throws {
        guard !changes.isEmpty else { return Terminal.note("\(file.path) is set up already") }
        Terminal.note("\(file.path)\(file.text == nil ? " (new)" : "")")
        for change in changes {
            if let old = change.old { Terminal.note("- \(change.name): \(ReadableText.escaped(Self.shown(old)))") }
            Terminal.note("+ \(change.name): \(ReadableText.escaped(change.new))")
        }
        if !yes, Terminal.confirms("Write this.") != true { throw CommandFailure(.refused, "nothing was changed") }
        try file.replace(with: text)
        Terminal.note("written; daypass doctor checks it")
    }

    /// What stood there before: of an address where it goes, and of anything else nothing, since it may be a key.
    private static func shown(_ old: String) -> String {
        let text =
            old.hasPrefix("\"") && old.hasSuffix("\"") && old.count > 1 ? String(old.dropFirst().dropLast()) : old
        guard let (origin, path) = GatewayAddress.parts(text) else { return "(another value)" }
        return path.isEmpty ? origin : "\(origin)/…"
    }
}

extension Unicode.GeneralCategory {
    fileprivate var isControl: Bool { self == .control || self == .lineSeparator || self == .paragraphSeparator }
}

/// A word on a line of /bin/sh.
enum ShellWord {
    static func quoted(_ word: String) -> String {
        let isPlain = word.utf8.allSatisfy {
            $0.isLetterOrDigit || [0x2B, 0x2C, 0x2D, 0x2E, 0x2F, 0x3A, 0x3D, 0x40, 0x5F].contains($0)
        }
        return isPlain && !word.isEmpty ? word : "'\(word.replacing("'", with: "'\\''"))'"
    }
}
