import ArgumentParser
import BrokerClient
import CProcess
import Glibc

struct CredentialsAdd: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Keep a secret as the next version of a provider's credential, staged.",
        discussion: """
            The secret is read from standard input, or from a file, never from the command line, which `ps` and the \
            shell's history show. On a terminal it is asked for and not shown. It may be any bytes, 65536 at most; one line \
            end after the last byte is not part of it, unless --exact says so.

            Example: daypass credentials add anthropic < anthropic.key
            """)

    @Argument(help: "The provider's name, such as anthropic.")
    var provider: String

    @Option(help: ArgumentHelp("Read the secret from this file.", valueName: "file"), completion: .file())
    var file: String?

    @Flag(help: "A line end after the last byte is part of the secret.")
    var exact = false

    @Option(help: ArgumentHelp("How long reading the secret may take.", valueName: "seconds"))
    var timeout = 120

    @OptionGroup var broker: BrokerOptions

    func validate() throws {
        try Provider.check(provider)
        guard (1...3600).contains(timeout) else { throw ValidationError("--timeout is 1 to 3600 seconds.") }
    }

    func run() async throws {
        guard daypass_keep_memory_private() == 0 else {
            throw CommandFailure(
                .refused, "the memory of this process, which would hold the secret, cannot be kept from others")
        }
        let secret = try read()
        guard secret.count > 0 else { throw CommandFailure(.usage, "the secret is empty") }
        guard secret.count <= Self.maximumLength else { throw Self.tooLong }
        try await broker.withClient { client in
            let added = try await client.post("credentials/\(provider)/versions", secret)
            guard !broker.json else { return try Terminal.print(added) }
            Terminal.print(Table([added], CredentialsList.columns))
            let number = added.cell("version")
            Terminal.note("it is not used yet; `daypass credentials promote \(provider) \(number)` has it used")
        }
    }

    private static let maximumLength = 65_536
    private static let tooLong = CommandFailure(.usage, "the secret has more than \(maximumLength) bytes")

    private func read() throws -> SecretInput {
        do throws(SecretInputFailure) {
            let secret: SecretInput
            if let file {
                secret = try Self.read(file: file, within: .seconds(timeout))
            } else if isatty(STDIN_FILENO) == 1 {
                return try Self.ask(within: .seconds(timeout))
            } else {
                secret = try SecretInput(
                    reading: STDIN_FILENO, atMost: Self.maximumLength, within: .seconds(timeout))
            }
            if !exact { secret.dropLineEnd() }
            return secret
        } catch {
            switch error {
            case .tooLong: throw Self.tooLong
            case .tooSlow: throw CommandFailure(.refused, "the secret did not come to its end within \(timeout) s")
            case .unreadable(let words):
                // Not by its name: who mistakes what --file is for gives the secret.
                let source = file == nil ? "standard input" : "the file that --file names"
                throw CommandFailure(.usage, "\(source) cannot be read: \(words)")
            }
        }
    }

    private static func read(file: String, within time: Duration) throws(SecretInputFailure) -> SecretInput {
        // Opening must not wait for a named pipe's writer: reading does, and not for ever.
        let descriptor = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .unreadable(String(cString: strerror(errno))) }
        defer { close(descriptor) }
        var status = stat()
        if fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_mode & 0o077 != 0 {
            Terminal.warn("others than its owner have access to \(file)")
        }
        return try SecretInput(reading: descriptor, atMost: maximumLength, within: time)
    }

    /// A line from the terminal, which does not show it.
    private static func ask(within time: Duration) throws(SecretInputFailure) -> SecretInput {
        Terminal.note("The secret, which is not shown, and Enter (Enter alone gives up; Ctrl-C does not):")
        guard daypass_hide_typing(STDIN_FILENO) == 0 else { throw .unreadable(String(cString: strerror(errno))) }
        defer { daypass_show_typing() }
        let secret = try SecretInput(reading: STDIN_FILENO, .line, atMost: maximumLength, within: time)
        secret.dropLineEnd()
        // A terminal hands over no more of a line, and says nothing of the rest.
        guard secret.count < 4095 else { throw .unreadable("the line may have been cut off: use --file") }
        let controls = secret.withBytes { $0.contains { $0 < 0x20 || $0 == 0x7F } }
        guard !controls else { throw .unreadable("a control character was typed; nothing is added") }
        return secret
    }
}
