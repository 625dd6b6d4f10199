import BrokerClient
import FoundationEssentials
import Glibc
import Synchronization

/// Where output goes, and whether a person is there to answer.
enum Terminal {
    /// What was asked for; nothing else goes to standard output.
    /// What standard output does not take is said at the end: see `check`.
    static func print(_ text: String) {
        guard error.withLock({ $0 == nil }) else { return }
        let code = write(Array((text + "\n").utf8), to: STDOUT_FILENO)
        if let code { error.withLock { $0 = code } }
    }

    /// Of standard output, the first one.
    private static let error = Mutex<CInt?>(nil)

    /// - Throws: where standard output did not take all that was printed.
    static func check() throws(CommandFailure) {
        if let code = error.withLock(\.self) { throw unwritten(code) }
    }

    private static func unwritten(_ code: CInt) -> CommandFailure {
        CommandFailure(.refused, "standard output: \(String(cString: strerror(code))); not all was written")
    }

    static func note(_ text: String) {
        write(text + "\n", to: STDERR_FILENO)
    }

    static func warn(_ text: String) {
        note("warning: \(ReadableText.escaped(text))")
    }

    /// What an answer of the broker warns of.
    static func warn(of answer: JSON) {
        for warning in answer.list("warnings").compactMap(\.text) { warn(warning) }
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

    /// Lines of JSON as they are; on a terminal with what would be hidden as its number, which means the same.
    /// - Throws: where standard output does not take all of them.
    static func write(lines: [UInt8]) throws {
        let isTerminal = isatty(STDOUT_FILENO) == 1
        let bytes = isTerminal ? Array(ReadableText.json(String(decoding: lines, as: UTF8.self)).utf8) : lines
        if let code = write(bytes, to: STDOUT_FILENO) { throw unwritten(code) }
    }

    private static func write(_ text: String, to descriptor: CInt) {
        _ = write(Array(text.utf8), to: descriptor)
    }

    /// - Returns: the error that kept some of it back; nil where all was written.
    private static func write(_ bytes: [UInt8], to descriptor: CInt) -> CInt? {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 || errno == EINTR else { return errno }
            rest = rest.dropFirst(max(0, count))
        }
        return nil
    }
}
