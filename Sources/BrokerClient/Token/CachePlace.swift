import Glibc

/// Where a process keeps its gateway tokens.
package struct CachePlace: Sendable, Hashable {
    /// An absolute path, without a slash at its end.
    package let folder: String

    /// In a CI job the job's own temporary folder; else below `XDG_CACHE_HOME`, else `HOME`, else `XDG_RUNTIME_DIR`.
    /// - Returns: nil where there is none of them.
    package init?(in environment: [String: String]) {
        self.init(in: environment, user: geteuid())
    }

    init?(in environment: [String: String], user: uid_t) {
        func path(_ name: String) -> String? {
            // XDG Base Directory Specification: what is not absolute is to be ignored.
            guard var path = environment[name], path.hasPrefix("/"), !path.contains("\0") else { return nil }
            while path.count > 1, path.hasSuffix("/") { path.removeLast() }
            return path == "/" ? "" : path
        }
        if ContinuousIntegrationJob(in: environment) != .none {
            // GitHub's runner empties RUNNER_TEMP before and after each job.
            folder = "\(path("RUNNER_TEMP") ?? path("TMPDIR") ?? "/tmp")/daypass-\(user)"
        } else if let cache = path("XDG_CACHE_HOME") {
            folder = "\(cache)/daypass"
        } else if let home = path("HOME") {
            folder = "\(home)/.cache/daypass"
        } else if let runtime = path("XDG_RUNTIME_DIR") {
            folder = "\(runtime)/daypass"
        } else {
            return nil
        }
    }
}
