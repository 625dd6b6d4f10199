import Glibc

/// A file of somebody's settings, that is read, shown as it would be, and replaced whole.
struct SettingsFile {
    static let maximumLength = 1 << 20

    let path: String
    /// Nil where there is none yet.
    let text: String?

    /// - Throws: a `CommandFailure` where it is there and cannot be read.
    init(_ path: String) throws {
        // Where it is a link, such as into a folder under version control, that stays one.
        if let real = realpath(path, nil) {
            self.path = String(cString: real)
            free(real)
        } else {
            self.path = path
        }
        guard access(self.path, F_OK) == 0 else {
            guard errno == ENOENT else {
                throw CommandFailure(.refused, "\(path): \(String(cString: strerror(errno)))")
            }
            text = nil
            return
        }
        text = try TextFile.read(self.path, atMost: Self.maximumLength)
    }

    /// Writes beside it and moves that to its place: whoever reads meanwhile sees the one or the other, whole. A new one is
    /// its owner's alone, and so is its folder.
    /// - Throws: a `CommandFailure`; then nothing is changed, also where somebody else has written to it meanwhile.
    func replace(with new: String) throws {
        let now = access(path, F_OK) == 0 ? try TextFile.read(path, atMost: Self.maximumLength) : nil
        guard now.map({ Array($0.utf8) }) == text.map({ Array($0.utf8) }) else {
            throw CommandFailure(.refused, "\(path) was changed meanwhile; nothing was written")
        }
        try Self.makeFolder(of: path)
        var status = stat()
        let mode = stat(path, &status) == 0 ? status.st_mode & 0o777 : 0o600
        let draft = "\(path).daypass-\(getpid())"
        let descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
        guard descriptor >= 0 else { throw failure(draft) }
        var rest = Array(new.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 || errno == EINTR else { break }
            rest = rest.dropFirst(max(0, count))
        }
        let isWritten = rest.isEmpty && fchmod(descriptor, mode) == 0 && fsync(descriptor) == 0
        let code = errno
        close(descriptor)
        guard isWritten, rename(draft, path) == 0 else {
            let reason = isWritten ? failure(path) : failure(draft, code)
            unlink(draft)
            throw reason
        }
    }

    private func failure(_ path: String, _ code: CInt = errno) -> CommandFailure {
        CommandFailure(.refused, "\(path): \(String(cString: strerror(code))); nothing was changed")
    }

    private static func makeFolder(of path: String) throws {
        guard let slash = path.lastIndex(of: "/"), slash > path.startIndex else { return }
        let folder = String(path[..<slash])
        guard access(folder, F_OK) != 0 else { return }
        try makeFolder(of: folder)
        guard mkdir(folder, 0o700) == 0 || errno == EEXIST else {
            throw CommandFailure(.refused, "\(folder): \(String(cString: strerror(errno)))")
        }
    }
}
