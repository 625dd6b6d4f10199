import ArgumentParser
import BrokerClient
import FoundationEssentials
import Glibc

/// Which broker a command speaks with, and how it prints.
struct BrokerOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The broker's administration socket.", valueName: "path"), completion: .file())
    var socket: String?

    @Option(
        help: ArgumentHelp(
            "The broker's administration listener; else DAYPASS_ADMIN_URL. DAYPASS_TOKEN holds the token.",
            valueName: "url"))
    var url: String?

    @Option(help: .authorities, completion: .file())
    var caFile: String?

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        guard socket == nil || url == nil else { throw ValidationError("Give either --socket or --url.") }
    }

    /// Flags before variables, the socket before the network.
    func address(in environment: [String: String] = ProcessInfo.processInfo.environment) throws -> BrokerAddress {
        let set = environment.filter { !$0.value.isEmpty }
        if let socket { return .socket(path: socket) }
        if let url { return try address(url, "--url", set) }
        if let socket = set["DAYPASS_SOCKET"] { return .socket(path: socket) }
        // Not DAYPASS_URL, which is the public listener: nobody's own tokens keep him from administering.
        if let url = set["DAYPASS_ADMIN_URL"] { return try address(url, "DAYPASS_ADMIN_URL", set) }
        return .socket(path: Self.ownSocket ?? "/run/daypass/admin.sock")
    }

    private func address(_ url: String, _ source: String, _ environment: [String: String]) throws -> BrokerAddress {
        guard let token = environment["DAYPASS_TOKEN"] else {
            throw CommandFailure(.notPermitted, "DAYPASS_TOKEN is not set: a broker at a URL wants a token")
        }
        guard token.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw CommandFailure(
                .usage, "DAYPASS_TOKEN is no token: it has a character that none has, such as a line feed")
        }
        let address = BrokerAddress(url: url, token: token, authorities: caFile ?? environment["DAYPASS_CA_FILE"])
        guard let address else {
            throw CommandFailure(
                .usage,
                "\(source) has to be an origin such as https://daypass.example.com:8444 "
                    + "(http only for a loopback host)")
        }
        return address
    }

    /// The socket of `daypassd serve` as the shipped configuration has it, in the folder where the command runs. Whoever
    /// else made one there could answer that something was revoked.
    private static var ownSocket: String? {
        let path = "config/run/admin.sock"
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK,
            status.st_uid == geteuid() || status.st_uid == 0
        else { return nil }
        return path
    }

    /// Runs `body` with a client of that broker.
    func withClient(_ body: (AdministrationClient) async throws -> Void) async throws {
        let client: AdministrationClient
        let address = try address()
        do {
            client = try AdministrationClient(address)
        } catch {
            throw CommandFailure(error)
        }
        do {
            try await body(client)
        } catch let failure as ClientFailure {
            await client.close()
            throw CommandFailure(failure)
        } catch {
            await client.close()
            throw error
        }
        await client.close()
    }

    /// Prints the elements of a list.
    func print(
        _ list: (elements: [JSON], isComplete: Bool), _ name: String, _ columns: KeyValuePairs<String, String>
    ) throws {
        try print(list, name) { Terminal.print(Table($0, columns)) }
    }

    /// - Parameter show: prints those that there are for a person.
    func print(
        _ list: (elements: [JSON], isComplete: Bool), _ name: String, _ show: ([JSON]) -> Void
    ) throws {
        if json {
            try Terminal.print(.object([name: .array(list.elements), "complete": .bool(list.isComplete)]))
        } else if list.elements.isEmpty {
            Terminal.note("none")
        } else {
            show(list.elements)
        }
        if !list.isComplete { Terminal.note("there are more: --limit shows them") }
    }
}

extension ArgumentHelp {
    /// Of --ca-file, wherever a broker is spoken with.
    static var authorities: ArgumentHelp {
        ArgumentHelp(
            "The authorities that vouch for the broker's certificate, PEM; else DAYPASS_CA_FILE, else the system's.",
            valueName: "file")
    }
}

extension Table {
    /// - Parameter columns: the title of each, and the member that it shows.
    init(_ elements: [JSON], _ columns: KeyValuePairs<String, String>) {
        self.init(columns.map(\.key), elements.map { element in columns.map { element.cell(at: $0.value) } })
    }
}

extension JSON {
    /// A member, or with a dot a member of a member, as a cell of a table has it.
    func cell(at path: String) -> String {
        guard let dot = path.firstIndex(of: ".") else { return cell(path) }
        return self[String(path[..<dot])]?.cell(String(path[path.index(after: dot)...])) ?? ""
    }
}

/// How many elements of a list are shown.
struct ListOptions: ParsableArguments {
    @Option(help: "How many at most.")
    var limit = 1000

    func validate() throws {
        guard limit > 0 else { throw ValidationError("--limit has to be at least 1.") }
    }
}

/// What commands have that destroy something.
struct DestructiveOptions: ParsableArguments {
    @Flag(help: "Show what would be affected, and change nothing.")
    var dryRun = false

    @Flag(help: "Do not ask.")
    var yes = false

    /// Before anything is sent: without a person to ask, somebody has to have said yes.
    func validate() throws {
        guard !dryRun, !yes, isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1 else { return }
        throw ValidationError("There is no terminal to ask on: give --yes or --dry-run.")
    }

    func confirm(_ question: String) throws {
        guard !yes else { return }
        guard Terminal.confirms(question) == true else { throw CommandFailure(.refused, "nothing was changed") }
    }
}
