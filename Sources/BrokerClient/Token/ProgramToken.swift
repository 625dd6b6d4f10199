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
            throw .noIdentity(
                "\(shown) ends with \(outcome.status): \(TokenText.hidden(in: String(line), secrets(environment)))")
        }
        guard let token = TokenText(String(decoding: outcome.output, as: UTF8.self).trimmingLineEnd()) else {
            throw .noIdentity("\(shown) prints no token")
        }
        return token
    }
}

extension ProgramToken {
    /// What the environment holds that is nobody else's: programs of providers have secrets of their own there.
    private static func secrets(_ environment: [String: String]) -> [TokenText] {
        let marks = ["TOKEN", "SECRET", "PASSWORD", "KEY"]
        return environment.compactMap { name, value in
            value.utf8.count >= 8 && marks.contains(where: name.contains) ? TokenText(value) : nil
        }
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
    /// - Parameter input: what it reads, less than a pipe holds; nil is nothing.
    static func run(
        _ name: String, _ arguments: [String], _ environment: [String: String], input: TokenText? = nil,
        within time: Duration
    ) throws(TokenFailure) -> Outcome {
        let end = ContinuousClock.now + time
        // Where the caller ignores it, nobody could wait for a child.
        signal(SIGCHLD, SIG_DFL)
        let (output, error) = (try pipe(), try pipe())
        defer { for descriptor in [output.reading, error.reading] { close(descriptor) } }
        var given: CInt?
        if let input { given = try filled(input) }
        defer { if let given { close(given) } }
        let reading = given
        let started = Result { () throws(TokenFailure) -> pid_t in
            try start(name, arguments, environment, input: reading, output: output.writing, error: error.writing)
        }
        for descriptor in [output.writing, error.writing] { close(descriptor) }
        let id = try started.get()
        guard let outcome = outcome(of: id, [output.reading, error.reading], until: end) else {
            kill(-id, SIGKILL)
            while waitpid(id, nil, 0) < 0, errno == EINTR {}
            throw .noIdentity("`\(name)` does not end in time, or prints without end")
        }
        return outcome
    }

    private static func pipe() throws(TokenFailure) -> (reading: CInt, writing: CInt) {
        var ends: [CInt] = [0, 0]
        guard Glibc.pipe(&ends) == 0 else { throw .noIdentity("no pipe: \(String(cString: strerror(errno)))") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    /// The reading end of a pipe that holds this.
    private static func filled(_ text: TokenText) throws(TokenFailure) -> CInt {
        let ends = try pipe()
        defer { close(ends.writing) }
        let bytes = Array(text.reveal().utf8)
        guard write(ends.writing, bytes, bytes.count) == bytes.count else {
            close(ends.reading)
            throw .noIdentity("a pipe takes nothing: \(String(cString: strerror(errno)))")
        }
        return ends.reading
    }

    private static func start(
        _ name: String, _ arguments: [String], _ environment: [String: String], input: CInt?, output: CInt,
        error: CInt
    ) throws(TokenFailure) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input {
            posix_spawn_file_actions_adddup2(&actions, input, 0)
        } else {
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        }
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

    /// Once the program has ended, with what there is by then: what it leaves in the background may keep its output open.
    /// - Returns: nil where time or room was over before.
    private static func outcome(of id: pid_t, _ descriptors: [CInt], until end: ContinuousClock.Instant) -> Outcome? {
        var open = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        var texts: [[UInt8]] = [[], []]
        var chunk = [UInt8](repeating: 0, count: 4096)
        var status: CInt?
        while ContinuousClock.now < end {
            let hadEnded = status != nil
            if !hadEnded {
                var code: CInt = 0
                let ended = waitpid(id, &code, WNOHANG)
                if ended < 0, errno != EINTR { return nil }
                if ended == id { status = code & 0x7F == 0 ? code >> 8 & 0xFF : 128 + code & 0x7F }
            }
            // That it ends is looked at every few milliseconds; what comes, at once.
            let ready = poll(&open, nfds_t(open.count), status == nil ? 5 : 0)
            if ready < 0, errno != EINTR { return nil }
            if ready <= 0, hadEnded, let status {
                return Outcome(status: status, output: texts[0], error: texts[1])
            }
            for index in open.indices where ready > 0 && open[index].fd >= 0 && open[index].revents != 0 {
                let count = read(open[index].fd, &chunk, chunk.count)
                if count < 0, errno == EINTR { continue }
                if count <= 0 { open[index].fd = -1 } else { texts[index] += chunk.prefix(count) }
                guard texts[index].count <= maximumLength else { return nil }
            }
        }
        return nil
    }
}
