import Broker
import Glibc

/// Where the store's file is, or is to be.
struct StoreFile {
    /// Absolute, without symbolic links, so that one file has one lock.
    let path: String

    init(path: String) throws(StoreFailure) {
        if let resolved = Self.resolved(path) {
            self.path = resolved
            return
        }
        let slash = path.lastIndex(of: "/")
        let folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
        guard !name.isEmpty else {
            throw StoreFailure(.unavailable, "open the store", cause: "\(path) is no path of a file")
        }
        guard let resolvedFolder = Self.resolved(folder) else {
            throw StoreFailure(
                .unavailable, "open the store", cause: "the folder \(folder) cannot be reached: \(Self.systemError)")
        }
        self.path = resolvedFolder == "/" ? "/\(name)" : "\(resolvedFolder)/\(name)"
    }

    /// Makes the file, for its owner alone, where it is missing and may be made. SQLite gives its companions (`-wal`,
    /// `-shm`) the mode of the file itself.
    func prepare(_ opening: SQLiteStore.Opening) throws(StoreFailure) {
        var status = stat()
        if stat(path, &status) == 0 {
            guard status.st_mode & S_IFMT == S_IFREG else { throw failure("is not a file") }
            guard status.st_size > 0 || opening == .creating else {
                throw StoreFailure(.unreadable, "open the store", cause: "\(path) is empty")
            }
        } else if errno == ENOENT, opening == .creating {
            let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
            guard descriptor >= 0 else { throw failure("cannot be made: \(Self.systemError)") }
            Glibc.close(descriptor)
        } else {
            let hint = errno == ENOENT ? "; `daypassd init` makes it" : ""
            throw failure("cannot be reached: \(Self.systemError)\(hint)")
        }
    }

    private func failure(_ words: String) -> StoreFailure {
        StoreFailure(.unavailable, "open the store", cause: "\(path) \(words)")
    }

    private static func resolved(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    private static var systemError: String { String(cString: strerror(errno)) }
}
