import Foundation

/// This process.
enum Process {
    /// Takes away what a process that holds keys should not have: files that others may read, core dumps with keys in
    /// them, and the signals that would end it where a write can just fail.
    static func restrict() {
        umask(0o077)
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        _ = setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
    }
}

enum StandardError {
    static func write(_ text: String) {
        FileHandle.standardError.write(Data(text.utf8))
    }
}
