import Glibc

/// A file of somebody's settings, that is read, shown as it would be, and replaced whole.
struct SettingsFile {
    static let maximumLength = 1 << 20

    let path: String
    /// Nil where there is none yet.
    let text: String?

    /// - Throws: a `CommandFailure` where it is there and cannot be read, or is a link that leads nowhere.
    init(_ path: String) throws {
        // Where it is a link, such as into a folder under version control, that stays one.
        if let real = realpath(path, nil) {
            self.path = String(cString: real)
            free(real)
            text = try TextFile.read(self.path, atMost: Self.maximumLength, isFile: true)
            return
        }
        let code = errno
        var status = stat()
        guard code == ENOENT, lstat(path, &status) != 0 else {
            let words = code == ENOENT ? "it is a link to what is not there" : String(cString: strerror(code))
            throw CommandFailure(.refused, "\(path): \(words)")
        }
        (self.path, text) = (path, nil)
    }

    /// Settings of a whole machine, which everybody has to read.
    private var isShared: Bool {
        path.hasSuffix("/managed-settings.json") || path.contains("/managed-settings.d/")
    }

    /// Writes beside it and moves that to its place: whoever reads meanwhile sees the one or the other, whole. Its owner and
    /// its mode stay. A new one is its owner's alone, and so is its folder, but for settings of a whole machine.
    /// - Throws: a `CommandFailure`; then nothing is changed, also where somebody else has written to it meanwhile.
    func replace(with new: String) throws {
        let now = access(path, F_OK) == 0 ? try TextFile.read(path, atMost: Self.maximumLength, isFile: true) : nil
        guard now.map({ Array($0.utf8) }) == text.map({ Array($0.utf8) }) else {
            throw CommandFailure(.refused, "\(path) was changed meanwhile; nothing was written")
        }
        try Self.makeFolder(of: path, isShared ? 0o755 : 0o700)
        var status = stat()
        let isThere = stat(path, &status) == 0
        // Root may write to it all the same.
        guard !isThere || (status.st_mode & 0o222 != 0 && access(path, W_OK) == 0) else {
            throw CommandFailure(.refused, "\(path): it is read-only; nothing was changed")
        }
        let mode = isThere ? status.st_mode & 0o777 : isShared ? 0o644 : 0o600
        let draft = "\(path).daypass-\(getpid())"
        // Nobody else's before it is its owner's.
        let descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw failure(draft) }
        var rest = Array(new.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 || errno == EINTR else { break }
            rest = rest.dropFirst(max(0, count))
        }
        let isOwners = !isThere || Self.give(descriptor, to: status)
        let isWritten = rest.isEmpty && isOwners && fchmod(descriptor, mode) == 0 && fsync(descriptor) == 0
        let code = errno
        close(descriptor)
        guard isWritten, rename(draft, path) == 0 else {
            let reason = isWritten ? failure(path) : failure(draft, code)
            unlink(draft)
            throw reason
        }
    }

    /// - Returns: whether the file is the owner's and the group's of another one; otherwise `errno` says why.
    private static func give(_ descriptor: CInt, to other: stat) -> Bool {
        var own = stat()
        guard fstat(descriptor, &own) == 0 else { return false }
        if own.st_uid == other.st_uid, own.st_gid == other.st_gid { return true }
        return fchown(descriptor, other.st_uid, other.st_gid) == 0
    }

    private func failure(_ path: String, _ code: CInt = errno) -> CommandFailure {
        CommandFailure(.refused, "\(path): \(String(cString: strerror(code))); nothing was changed")
    }

    private static func makeFolder(of path: String, _ mode: mode_t) throws {
        guard let slash = path.lastIndex(of: "/"), slash > path.startIndex else { return }
        let folder = String(path[..<slash])
        guard access(folder, F_OK) != 0 else { return }
        try makeFolder(of: folder, mode)
        guard mkdir(folder, mode) == 0 else {
            if errno == EEXIST { return }
            throw CommandFailure(.refused, "\(folder): \(String(cString: strerror(errno)))")
        }
        // Whatever the mask of whoever runs this.
        chmod(folder, mode)
    }
}
