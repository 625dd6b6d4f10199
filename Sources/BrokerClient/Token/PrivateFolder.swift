import FoundationEssentials
import Glibc

/// A folder of mode 0700 of this user's alone, with files of mode 0600. Processes agree by `flock`, which ends with whoever
/// holds it, however it ends.
package final class PrivateFolder: Sendable {
    let path: String
    private let directory: OpenFile
    private var descriptor: CInt { directory.descriptor }

    /// Opens the folder, and makes it where it is not there.
    /// - Parameter depth: how many of the path's last parts may be made: not a home that is not there, nor any part for
    ///   somebody else in his.
    init(_ path: String, making depth: Int) throws(CacheFailure) {
        self.path = path
        try Self.make(path, depth)
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { throw CacheFailure(path) }
        directory = OpenFile(descriptor)
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw CacheFailure(path) }
        guard status.st_uid == geteuid(), status.st_mode & 0o077 == 0 else {
            throw CacheFailure(
                words: status.st_uid == geteuid()
                    ? "\(path): others have access to it (chmod 700)" : "\(path): it belongs to somebody else")
        }
    }

    private static func make(_ path: String, _ depth: Int) throws(CacheFailure) {
        guard mkdir(path, 0o700) != 0 else { return }
        // What stands there already is looked at by whoever opens it.
        guard errno == ENOENT else {
            guard errno == EEXIST else { throw CacheFailure(path) }
            return
        }
        func parent(_ path: String) -> String { path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "" }
        var missing = [path]
        var base = parent(path)
        var status = stat()
        while stat(base, &status) != 0 {
            guard missing.count < depth else { throw CacheFailure(path) }
            missing.append(base)
            base = parent(base)
        }
        guard status.st_uid == geteuid() else { throw CacheFailure(words: "\(base): it belongs to somebody else") }
        for folder in missing.reversed() {
            guard mkdir(folder, 0o700) == 0 || errno == EEXIST else { throw CacheFailure(folder) }
        }
    }

    /// A file as it was found.
    struct Found {
        let bytes: [UInt8]
        /// When it was modified, in milliseconds since 1970.
        let modified: Int64
        let file: OpenFile
    }

    /// - Throws: why what is there is not used.
    func read(_ name: String, atMost maximum: Int) throws(CacheFailure) -> Found? {
        let descriptor = openat(self.descriptor, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw CacheFailure("\(path)/\(name)")
        }
        let file = OpenFile(descriptor)
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw CacheFailure("\(path)/\(name)") }
        guard status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid(), status.st_mode & 0o077 == 0,
            status.st_nlink <= 1
        else { throw unusable(name, "is not this user's alone") }
        guard status.st_size <= maximum else { throw unusable(name, "is damaged") }
        var bytes = [UInt8](repeating: 0, count: maximum)
        let count = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
        guard count >= 0 else { throw CacheFailure("\(path)/\(name)") }
        let modified = Int64(status.st_mtim.tv_sec) * 1000 + Int64(status.st_mtim.tv_nsec) / 1_000_000
        return Found(bytes: Array(bytes.prefix(count)), modified: modified, file: file)
    }

    func unusable(_ name: String, _ words: String) -> CacheFailure {
        CacheFailure(words: "\(path)/\(name) \(words), and is not used")
    }

    /// Puts `bytes` in the place of what is there. Who reads sees the one or the other, whole.
    /// - Parameters:
    ///   - draft: the name under which it is written; nobody else may do so at the same time.
    ///   - now: becomes when it was modified, in milliseconds since 1970; nil is as it is.
    ///   - isDurable: whether it has to be on the disk when this returns.
    func write(
        _ bytes: [UInt8], to name: String, draft new: String, at now: Int64? = nil, isDurable: Bool = false
    ) throws(CacheFailure) {
        // What somebody left who was killed.
        remove(new)
        let descriptor = openat(
            self.descriptor, new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw CacheFailure("\(path)/\(new)") }
        let draft = OpenFile(descriptor)
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw abandoned(new) }
            rest = rest.dropFirst(count)
        }
        if let now { draft.setTime(now) }
        guard !isDurable || fsync(descriptor) == 0 else { throw abandoned(new) }
        guard renameat(self.descriptor, new, self.descriptor, name) == 0 else { throw abandoned(new) }
        if isDurable { fsync(self.descriptor) }
    }

    private func abandoned(_ new: String) -> CacheFailure {
        let failure = CacheFailure("\(path)/\(new)")
        remove(new)
        return failure
    }

    func remove(_ name: String) {
        unlinkat(descriptor, name, 0)
    }

    /// At most a thousand of them.
    var names: ArraySlice<String> {
        ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).prefix(1000)
    }

    /// When it was modified, in milliseconds since 1970.
    func modified(_ name: String) -> Int64? {
        var status = stat()
        guard fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return nil }
        return Int64(status.st_mtim.tv_sec) * 1000
    }
}

/// One at a time.
extension PrivateFolder {
    /// A lock of all processes of this user.
    package enum Locking: Sendable {
        case taken(Lock)
        /// By another process.
        case busy
        /// There can be none.
        case impossible(CacheFailure)
    }

    package final class Lock: Sendable {
        private let file: OpenFile

        fileprivate init(_ file: OpenFile) {
            self.file = file
        }
    }

    /// Does not wait. The lock is held until its last reference goes.
    func lock(_ name: String) -> Locking {
        while true {
            let descriptor = openat(self.descriptor, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
            guard descriptor >= 0 else { return .impossible(CacheFailure("\(path)/\(name)")) }
            let file = OpenFile(descriptor)
            while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
                switch errno {
                case EINTR: continue
                case EWOULDBLOCK: return .busy
                default: return .impossible(CacheFailure("\(path)/\(name)"))
                }
            }
            // It may have been taken away before it was locked, and others lock another one under its name.
            var (mine, named) = (stat(), stat())
            if fstat(descriptor, &mine) == 0, fstatat(self.descriptor, name, &named, AT_SYMLINK_NOFOLLOW) == 0,
                mine.st_ino == named.st_ino
            {
                return .taken(Lock(file))
            }
        }
    }

    /// Takes a lock's file away, unless somebody holds it.
    func removeLock(_ name: String) {
        let descriptor = openat(self.descriptor, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        let file = OpenFile(descriptor)
        if flock(file.descriptor, LOCK_EX | LOCK_NB) == 0 { remove(name) }
    }
}

/// A descriptor that is closed with its last reference.
final class OpenFile: Sendable {
    let descriptor: CInt

    init(_ descriptor: CInt) {
        self.descriptor = descriptor
    }

    deinit {
        close(descriptor)
    }

    /// - Parameter now: in milliseconds since 1970.
    func setTime(_ now: Int64) {
        let time = timespec(tv_sec: Int(now / 1000), tv_nsec: Int(now % 1000) * 1_000_000)
        let times = [time, time]
        _ = futimens(descriptor, times)
    }
}
