import Glibc

/// A program beside this one.
package enum ChildProgram {
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

    /// Starts a program that reads nothing and whose words nobody sees, and waits for nothing.
    /// - Returns: whether it could be started.
    package static func leave(_ name: String, _ arguments: [String], _ environment: [String: String]) -> Bool {
        (try? start(name, arguments, environment)) != nil
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

    /// With these descriptors; /dev/null takes the place of those that are nil.
    private static func start(
        _ name: String, _ arguments: [String], _ environment: [String: String], input: CInt? = nil,
        output: CInt? = nil, error: CInt? = nil
    ) throws(TokenFailure) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (place, descriptor) in [input, output, error].enumerated() {
            let place = CInt(place)
            if let descriptor {
                posix_spawn_file_actions_adddup2(&actions, descriptor, place)
            } else {
                posix_spawn_file_actions_addopen(&actions, place, "/dev/null", place == 0 ? O_RDONLY : O_WRONLY, 0)
            }
        }
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
