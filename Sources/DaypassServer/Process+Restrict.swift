import CProcess
import Foundation

/// This process.
enum Process {
    /// Takes away what a process that holds keys should not have: files that others may read, core dumps and reports of
    /// crashes with keys in them, memory that another process of the same user can read, and the signals that would end
    /// it where a write can just fail.
    static func restrict() {
        umask(0o077)
        _ = daypass_keep_memory_private()
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
    }

    /// Raises the number of files and connections that the process may have open to what its limits permit.
    /// - Returns: that number.
    static func raiseOpenFiles() -> Int {
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0 else { return 1024 }
        var raised = rlimit(rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max)
        let files = setrlimit(resource, &raised) == 0 ? raised.rlim_cur : limit.rlim_cur
        return Int(clamping: files)
    }
}
