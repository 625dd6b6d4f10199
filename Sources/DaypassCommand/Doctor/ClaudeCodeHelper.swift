import ArgumentParser
import BrokerClient
import Glibc

/// The helper that Claude Code runs for its tokens.
struct ClaudeCodeHelper {
    let settings: ClaudeCodeSettings
    /// Nil where it takes a shell to say what is run.
    let line: ShellLine?
    private let environment: [String: String]

    /// - Returns: nil where no settings name one.
    init?(_ variables: ClientVariables) {
        guard let settings = variables.settings.first(where: { $0.helper != nil }), let text = settings.helper else {
            return nil
        }
        self.settings = settings
        environment = variables.environment
        line = ShellLine(text, home: variables.environment["HOME"] ?? "")
    }

    var isDaypass: Bool { line?.program.split(separator: "/").last == "daypass" }

    /// What `daypass token` is told there; nil for another program, and for what prints no token.
    var token: PrintedToken? {
        guard isDaypass, let arguments = line?.arguments, arguments.first == "token" else { return nil }
        if let token = PrintedToken(parsing: arguments) { return token }
        return ((try? Daypass.parseAsRoot(arguments)) as? TokenCommand)?.printed
    }

    /// Of the process that it runs in; of what a folder's settings set, only what is this program's: neither where programs
    /// are, nor who is asked for identity tokens, is theirs to say.
    var variables: [String: String] {
        let set = (line?.variables ?? [:]).filter { settings.place != .project || $0.key.hasPrefix("DAYPASS_") }
        return environment.merging(set) { $1 }.filter { !$0.value.isEmpty }
    }

    var finding: Finding {
        let path = settings.path
        guard let line else {
            return .warning(
                "helper", "that of \(path) is more than a command: it was not checked", do: "try it by hand")
        }
        let program = line.program
        let folders = (variables["PATH"] ?? "/usr/bin:/bin").split(separator: ":").map(String.init)
        let candidates = program.contains("/") ? [program] : folders.map { "\($0)/\(program)" }
        guard let file = candidates.first(where: Self.isExecutable) else {
            if let file = candidates.first(where: { access($0, F_OK) == 0 }) {
                return .problem("helper", "\(file) cannot be run by this user", do: "chmod +x \(file)")
            }
            return .problem(
                "helper", "\(path) names \(program), which is not there",
                do: "install daypass there, or run daypass setup claude-code again")
        }
        if let interpreter = Self.interpreter(of: file), access(interpreter, X_OK) != 0 {
            return .problem(
                "helper", "\(file) wants \(interpreter), which cannot be run",
                do: "mend its first line, or install that")
        }
        guard isDaypass else { return .good("helper", "\(program), as \(path) says") }
        guard let token, token.form == .plain else {
            return .problem(
                "helper", "what \(path) has daypass do prints no bare token",
                do: "run daypass setup claude-code again, or daypass token --help")
        }
        let identity = token.arguments.identity.flatMap { Identity(parsing: $0) }
        if identity?.files.contains(where: { !$0.hasPrefix("/") }) == true {
            return .warning(
                "helper", "\(path) names files that are looked for wherever Claude Code runs",
                do: "run daypass setup claude-code again, which writes whole paths")
        }
        return .good("helper", "\(program), as \(path) says")
    }

    private static func isExecutable(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG && access(path, X_OK) == 0
    }

    /// What the first line of a script names; nil where it is none, or cannot be read.
    private static func interpreter(of path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = read(descriptor, &bytes, bytes.count)
        guard count > 2, bytes.starts(with: "#!".utf8) else { return nil }
        let line = bytes[2..<count].prefix { $0 != UInt8(ascii: "\n") }
        return String(decoding: line, as: UTF8.self).split(separator: " ").first.map(String.init)
    }
}
