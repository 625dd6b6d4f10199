import Foundation
import Synchronization
import Testing

/// A real program that a test runs: it never outlives the test, nor its own bound in time.
final class RunningProcess: Sendable {
    struct Outcome: Sendable {
        let status: Int32
        let output: String
        let error: String
    }

    /// What the program has printed so far.
    private final class Printed: Sendable {
        struct State: Sendable {
            var output = Data()
            var error = Data()
            /// How many of the two have come to their end.
            var ended = 0
        }

        let state = Mutex(State())
    }

    let id: pid_t
    private let child: Mutex<Child>
    private let printed = Printed()
    private let watchdog: Task<Void, Never>

    /// - Parameter seconds: after which the program is killed, whatever it does. No test means to take so long: a broker that
    ///   ends while a slow machine is still at its test looks like one that crashed.
    init(
        _ program: String, _ arguments: [String], in folder: URL? = nil, environment: [String: String]? = nil,
        seconds: Int = 600
    ) throws {
        let (output, error) = (try Self.pipe(), try Self.pipe())
        // The reading ends see the end of the file when the child's are closed, and only then.
        defer { for end in [output.writing, error.writing] { close(end) } }
        let id = try Child.spawn(
            program, arguments, in: folder?.path(percentEncoded: false),
            environment: environment ?? ProcessInfo.processInfo.environment,
            output: output.writing, error: error.writing)
        self.id = id
        child = Mutex(Child(id: id))
        watchdog = Task { [id] in
            try? await Task.sleep(for: .seconds(seconds))
            if !Task.isCancelled { kill(id, SIGKILL) }
        }
        Self.collect(output.reading, in: printed) { $0.output.append($1) }
        Self.collect(error.reading, in: printed) { $0.error.append($1) }
    }

    deinit {
        watchdog.cancel()
        child.withLock { $0.end() }
    }

    var isRunning: Bool { child.withLock { $0.poll() == nil } }
    var output: String { printed.state.withLock { String(decoding: $0.output, as: UTF8.self) } }
    var error: String { printed.state.withLock { String(decoding: $0.error, as: UTF8.self) } }

    func signal(_ signal: Int32) {
        child.withLock { if $0.poll() == nil { kill($0.id, signal) } }
    }

    /// What the program left when it ended.
    func outcome(within seconds: Double = 300) async throws -> Outcome {
        try await waitUntil("process \(id) ends", within: seconds) { !self.isRunning }
        // The pipes are read by another thread, which can be late on a busy machine; they end with the process, unless a
        // child of its own still holds them.
        try? await waitUntil("its output ends", within: 5) { self.printed.state.withLock { $0.ended == 2 } }
        let status = try #require(child.withLock { $0.poll() })
        return Outcome(status: status, output: output, error: error)
    }

    /// No other child that is started at the same moment inherits either end.
    private static func pipe() throws -> (reading: Int32, writing: Int32) {
        var ends: [Int32] = [0, 0]
        guard Foundation.pipe(&ends) == 0 else {
            throw CannotStart(description: "cannot make a pipe: \(String(cString: strerror(errno)))")
        }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    /// On a thread of its own, which ends with the pipe: a dispatch source that goes away while its events are under way
    /// takes the whole process with it.
    private static func collect(
        _ end: Int32, in printed: Printed, append: @escaping @Sendable (inout Printed.State, Data) -> Void
    ) {
        Thread.detachNewThread {
            var chunk = [UInt8](repeating: 0, count: 16 * 1024)
            while true {
                let count = read(end, &chunk, chunk.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { break }
                printed.state.withLock { append(&$0, Data(chunk.prefix(count))) }
            }
            close(end)
            printed.state.withLock { $0.ended += 1 }
        }
    }
}

/// A child of this process.
///
/// Not Foundation's `Process`, which waits with `select`: that ends badly in a process with more than 1024 open files, as
/// tests of many connections make this one.
private struct Child {
    let id: pid_t
    private var status: Int32?

    init(id: pid_t) {
        self.id = id
    }

    static func spawn(
        _ program: String, _ arguments: [String], in folder: String?, environment: [String: String], output: Int32,
        error: Int32
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_adddup2(&actions, error, 2)
        try closeAllOthers(&actions)
        // What this process ignores or blocks, the program must not.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var (none, all) = (sigset_t(), sigset_t())
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        let command = (folder.map { ["/usr/bin/env", "-C", $0] } ?? []) + [program] + arguments
        let words = command.map { strdup($0) } + [nil]
        let variables = environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { for text in words + variables { free(text) } }
        var id: pid_t = 0
        let code = posix_spawn(&id, command[0], &actions, &attributes, words, variables)
        guard code == 0 else {
            throw CannotStart(description: "cannot start \(program): \(String(cString: strerror(code)))")
        }
        return id
    }

    /// Whatever other tests have open at the moment is not the program's: it would count against its own limit.
    private static func closeAllOthers(_ actions: inout posix_spawn_file_actions_t) throws {
        // A GNU extension, which Swift's import of the C library leaves out.
        typealias Function = @convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32
        guard let symbol = dlsym(nil, "posix_spawn_file_actions_addclosefrom_np") else {
            throw CannotStart(description: "glibc 2.34 or later is needed")
        }
        _ = unsafeBitCast(symbol, to: Function.self)(&actions, 3)
    }

    /// - Returns: nil while it runs, then its exit status, or 128 and the signal that ended it.
    mutating func poll() -> Int32? {
        if status == nil { wait(WNOHANG) }
        return status
    }

    mutating func end() {
        guard poll() == nil else { return }
        kill(id, SIGKILL)
        wait(0)
    }

    private mutating func wait(_ options: Int32) {
        var code: Int32 = 0
        guard waitpid(id, &code, options) == id else { return }
        status = code & 0x7F == 0 ? code >> 8 & 0xFF : 128 + code & 0x7F
    }
}

struct CannotStart: Error, CustomStringConvertible {
    let description: String
}

struct TimedOut: Error, CustomStringConvertible {
    let description: String
}

/// Looks every 20 ms whether `condition` holds: what a test waits for here happens in another process.
func waitUntil(
    _ what: String, within seconds: Double = 20, _ condition: () async throws -> Bool
) async throws {
    let end = ContinuousClock.now + .seconds(seconds)
    while try await !condition() {
        guard ContinuousClock.now < end else { throw TimedOut(description: "\(what): not within \(seconds) s") }
        try await Task.sleep(for: .milliseconds(20))
    }
}
