import Glibc

/// An identity token that a program of the CI provider prints.
enum ProgramToken {
    static func token(
        _ name: String, _ arguments: [String], _ environment: [String: String], within time: Duration
    ) throws(TokenFailure) -> TokenText {
        let shown = "`\(name) \(arguments.prefix(2).joined(separator: " "))`"
        let outcome = try ChildProgram.run(name, arguments, environment, within: time)
        guard outcome.status == 0 else {
            let line = String(decoding: outcome.error, as: UTF8.self).split(whereSeparator: \.isNewline).last ?? ""
            throw .noIdentity("\(shown) ends with \(outcome.status): \(TokenText.hidden(in: String(line)))")
        }
        guard let token = TokenText(String(decoding: outcome.output, as: UTF8.self).trimmingLineEnd()) else {
            throw .noIdentity("\(shown) prints no token")
        }
        return token
    }
}

/// A program that is run for what it prints.
enum ChildProgram {
    struct Outcome {
        /// 128 and the signal where one ended it.
        let status: CInt
        let output: [UInt8]
        let error: [UInt8]
    }

    /// In bytes, of what it prints on either.
    private static let maximumLength = 64 * 1024

    /// Blocks the calling thread until it has ended; whoever takes longer is killed, with all that it started.
    static func run(
        _ name: String, _ arguments: [String], _ environment: [String: String], within time: Duration
    ) throws(TokenFailure) -> Outcome {
        let end = ContinuousClock.now + time
        let (output, error) = (try pipe(), try pipe())
        defer { for descriptor in [output.reading, error.reading] { close(descriptor) } }
        let started = Result { () throws(TokenFailure) -> pid_t in
            try start(name, arguments, environment, output: output.writing, error: error.writing)
        }
        for descriptor in [output.writing, error.writing] { close(descriptor) }
        let id = try started.get()
        var texts: [[UInt8]] = [[], []]
        let isWhole = read([output.reading, error.reading], into: &texts, until: end)
        guard isWhole, let status = wait(for: id, until: end) else {
            kill(-id, SIGKILL)
            while waitpid(id, nil, 0) < 0, errno == EINTR {}
            throw .noIdentity("`\(name)` does not end in time, or prints without end")
        }
        return Outcome(status: status, output: texts[0], error: texts[1])
    }

    private static func pipe() throws(TokenFailure) -> (reading: CInt, writing: CInt) {
        var ends: [CInt] = [0, 0]
        guard Glibc.pipe(&ends) == 0 else { throw .noIdentity("no pipe: \(String(cString: strerror(errno)))") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    private static func start(
        _ name: String, _ arguments: [String], _ environment: [String: String], output: CInt, error: CInt
    ) throws(TokenFailure) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_adddup2(&actions, error, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // What this process ignores or blocks, the program must not; and a group of its own can be ended whole.
        var (none, all) = (sigset_t(), sigset_t())
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))
        let words = ([name] + arguments).map { strdup($0) } + [nil]
        let variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in words + variables { free(text) } }
        var id: pid_t = 0
        let code = posix_spawnp(&id, name, &actions, &attributes, words, variables)
        guard code == 0 else { throw .noIdentity("`\(name)` cannot be run: \(String(cString: strerror(code)))") }
        return id
    }

    /// - Returns: false where time or room was over before both came to their end.
    private static func read(_ descriptors: [CInt], into texts: inout [[UInt8]], until end: ContinuousClock.Instant)
        -> Bool
    {
        var open = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        var chunk = [UInt8](repeating: 0, count: 4096)
        while open.contains(where: { $0.fd >= 0 }) {
            let left = (end - ContinuousClock.now) / .milliseconds(1)
            guard left > 0 else { return false }
            let ready = poll(&open, nfds_t(open.count), CInt(min(left.rounded(.up), 60_000)))
            if ready < 0, errno != EINTR { return false }
            guard ready > 0 else { continue }
            for index in open.indices where open[index].fd >= 0 && open[index].revents != 0 {
                let count = Glibc.read(open[index].fd, &chunk, chunk.count)
                if count < 0, errno == EINTR { continue }
                if count <= 0 { open[index].fd = -1 } else { texts[index] += chunk.prefix(count) }
                guard texts[index].count <= maximumLength else { return false }
            }
        }
        return true
    }

    private static func wait(for id: pid_t, until end: ContinuousClock.Instant) -> CInt? {
        var code: CInt = 0
        while true {
            let ended = waitpid(id, &code, WNOHANG)
            if ended == id { return code & 0x7F == 0 ? code >> 8 & 0xFF : 128 + code & 0x7F }
            if ended < 0, errno != EINTR { return nil }
            guard ContinuousClock.now < end else { return nil }
            usleep(1000)
        }
    }
}
