import Glibc

/// What the symbolic link to `AuditLines.swift` needs of the command.
struct CommandFailure: Error {
    enum Code {
        case usage
    }

    init(_ code: Code, _ message: String) {}
}

/// Files that `daypass audit verify --against` reads: what is found in one are lines of it, in their order.
enum AuditLinesTarget: FuzzTarget {
    /// A pipe holds it all.
    private static let longest = 60_000

    static func run(_ input: [UInt8]) {
        let input = Array(input.prefix(longest))
        var ends: [CInt] = [0, 0]
        precondition(pipe(&ends) == 0 && write(ends[1], input, input.count) == input.count)
        close(ends[1])
        defer { close(ends[0]) }
        guard let file = try? AuditLines(path: "/dev/fd/\(ends[0])") else {
            preconditionFailure("a pipe does not open")
        }
        let lines = input.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        var last = 0
        while let entry = try? file.next() {
            precondition(entry.line > last && entry.sequence > 0)
            precondition(lines[entry.line - 1] == entry.bytes, "an entry is no line")
            last = entry.line
        }
    }
}
