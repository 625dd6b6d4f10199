import Foundation
import Testing

/// A program that ran: `curl` or `openssl`, as clients that nobody here wrote.
struct Command: Sendable {
    let status: Int32
    /// Standard output and standard error together.
    let output: String

    /// Runs until the program ends, a minute and a half at most.
    ///
    /// Not with Foundation's `Process`, which waits with `select`: that ends badly in a process with more than 1024 open
    /// files, as other tests make this one.
    static func run(_ command: [String], in folder: URL, input: String = "") async throws -> Command {
        let log = folder.appending(path: "log-\(UUID().uuidString)"),
            entry = folder.appending(path: "in-\(UUID().uuidString)")
        try Data(input.utf8).write(to: entry)
        let id = try start(
            ["/usr/bin/env", "-C", folder.path, "timeout", "-k", "1", "90"] + command, input: entry.path,
            output: log.path)
        let status = try await wait(for: id)
        return Command(status: status, output: String(decoding: try Data(contentsOf: log), as: UTF8.self))
    }

    /// Lets a program run as long as `body`, three minutes at most.
    static func during(_ command: [String], in folder: URL, _ body: () async throws -> Void) async throws {
        let log = folder.appending(path: "log-\(UUID().uuidString)")
        let id = try start(
            ["/usr/bin/env", "-C", folder.path, "timeout", "-k", "1", "180"] + command, input: "/dev/null",
            output: log.path)
        let outcome = await Result { try await body() }
        // `timeout` passes it on.
        kill(id, SIGTERM)
        _ = try await wait(for: id)
        try outcome.get()
    }

    private static func start(_ command: [String], input: String, output: String) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        // Threads of Swift's pool block signals, and a program begins with those of the thread that starts it.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        let words = command.map { strdup($0) } + [nil]
        let variables = ProcessInfo.processInfo.environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { for text in words + variables { free(text) } }
        var id: pid_t = 0
        try #require(posix_spawn(&id, command[0], &actions, &attributes, words, variables) == 0)
        return id
    }

    /// On a thread of its own, since it blocks.
    private static func wait(for id: pid_t) async throws -> Int32 {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                var status: Int32 = -1
                while waitpid(id, &status, 0) < 0 {
                    guard errno == EINTR else { return continuation.resume(throwing: POSIXError(.ECHILD)) }
                }
                continuation.resume(returning: status)
            }
        }
    }
}
