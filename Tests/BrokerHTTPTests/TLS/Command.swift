import Foundation
import NIOPosix
import Testing

/// A program that ran: `curl` or `openssl`, as clients that nobody here wrote.
struct Command: Sendable {
    let status: Int32
    /// Standard output and standard error together.
    let output: String

    /// Runs until the program ends, twenty seconds at most.
    ///
    /// Not with Foundation's `Process`, which waits with `select`: that ends badly in a process with more than 1024 open
    /// files, as other tests make this one.
    static func run(_ command: [String], in folder: URL, input: String = "") async throws -> Command {
        let log = folder.appending(path: "log-\(UUID().uuidString)"),
            entry = folder.appending(path: "in-\(UUID().uuidString)")
        try Data(input.utf8).write(to: entry)
        // On a thread that may block: the listener needs those of Swift's pool.
        let status = try await NIOThreadPool.singleton.runIfActive {
            try spawn(
                ["/usr/bin/env", "-C", folder.path, "timeout", "20"] + command, input: entry.path, output: log.path)
        }
        return Command(status: status, output: String(decoding: try Data(contentsOf: log), as: UTF8.self))
    }

    private static func spawn(_ command: [String], input: String, output: String) throws -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        let words = command.map { strdup($0) } + [nil]
        let variables = ProcessInfo.processInfo.environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { for text in words + variables { free(text) } }
        var id: pid_t = 0
        try #require(posix_spawn(&id, command[0], &actions, nil, words, variables) == 0)
        var status: Int32 = -1
        while waitpid(id, &status, 0) < 0 { try #require(errno == EINTR) }
        return status
    }
}
