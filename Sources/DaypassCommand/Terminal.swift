import BrokerClient
import FoundationEssentials
import Glibc

/// Where output goes, and whether a person is there to answer.
enum Terminal {
    /// What was asked for; nothing else goes to standard output.
    static func print(_ text: String) {
        write(text + "\n", to: STDOUT_FILENO)
    }

    static func note(_ text: String) {
        write(text + "\n", to: STDERR_FILENO)
    }

    /// Nil unless standard output is a terminal.
    static var columns: Int? {
        guard isatty(STDOUT_FILENO) == 1 else { return nil }
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    static func print(_ json: JSON) throws {
        print(ReadableText.json(String(decoding: try json.encoded(readable: true), as: UTF8.self)))
    }

    static func print(_ table: Table) {
        for line in table.lines(columns: columns) { print(line) }
    }

    /// Whether a person at the terminal says yes. The question goes to standard error.
    /// - Returns: nil where there is no terminal to ask on.
    static func confirms(_ question: String) -> Bool? {
        guard isatty(STDIN_FILENO) == 1, isatty(STDERR_FILENO) == 1 else { return nil }
        write("\(question) Type yes to go on: ", to: STDERR_FILENO)
        return readLine() == "yes"
    }

    private static func write(_ text: String, to descriptor: CInt) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 || errno == EINTR else { return }
            rest = rest.dropFirst(max(0, count))
        }
    }
}
