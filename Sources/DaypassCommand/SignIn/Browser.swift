import CProcess
import Glibc

/// The browser of whoever sits at this machine.
enum Browser {
    /// Whether there is a screen here, and the person is likely to sit before it.
    static func isHere(_ environment: [String: String]) -> Bool {
        let isRemote = ["SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"].contains { environment[$0] != nil }
        return !isRemote && ["DISPLAY", "WAYLAND_DISPLAY"].contains { environment[$0] != nil }
    }

    /// Starts `xdg-open` and waits for nothing. Ctrl-C here does not reach it, and what it prints nobody sees.
    /// - Parameter page: an http or https URL.
    /// - Returns: whether it could be started.
    static func open(_ page: String, _ environment: [String: String]) -> Bool {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        for descriptor: CInt in [1, 2] {
            posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_WRONLY, 0)
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // What this process ignores or blocks, the program must not.
        var (none, all) = (sigset_t(), sigset_t())
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))
        let command = ["xdg-open", page]
        let words = command.map { strdup($0) } + [nil]
        let variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in words + variables { free(text) } }
        var id: pid_t = 0
        return posix_spawnp(&id, "xdg-open", &actions, &attributes, words, variables) == 0
    }
}
