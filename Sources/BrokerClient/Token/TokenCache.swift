import FoundationEssentials
import Glibc

/// One gateway token on disk, for whoever asks for the same again: in a folder of mode 0700, in a file of mode 0600, both of
/// this user. Processes agree by `flock`, which ends with whoever holds it, however it ends.
///
/// When the token was last checked is the file's modification time: who notes it cannot write an older token over a newer.
package final class TokenCache: Sendable {
    private let directory: OpenFile
    private var folder: CInt { directory.descriptor }
    private let path: String
    private let key: String
    /// The digest of the key: it begins the names of its files.
    private let name: String

    /// Opens the folder, and makes it where it is not there.
    /// - Parameter key: all that tells what is kept apart from what others keep.
    package init(_ place: CachePlace, key: String) throws(CacheFailure) {
        let folder = place.folder
        path = folder
        self.key = key
        name = Fingerprint.hexadecimal(of: key.utf8)
        // At most the last two parts: not a home that is not there, nor for somebody else in his.
        let parent = folder.lastIndex(of: "/").map { String(folder[..<$0]) } ?? ""
        if mkdir(folder, 0o700) != 0, errno == ENOENT {
            let home = parent.lastIndex(of: "/").map { String(parent[..<$0]) } ?? ""
            var status = stat()
            guard stat(home, &status) == 0 else { throw CacheFailure(folder) }
            guard status.st_uid == geteuid() else {
                throw CacheFailure(words: "\(home): it belongs to somebody else")
            }
            if mkdir(parent, 0o700) == 0 { mkdir(folder, 0o700) }
        }
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { throw CacheFailure(folder) }
        directory = OpenFile(descriptor)
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw CacheFailure(folder) }
        guard status.st_uid == geteuid(), status.st_mode & 0o077 == 0 else {
            throw CacheFailure(
                words: status.st_uid == geteuid()
                    ? "\(folder): others have access to it (chmod 700)" : "\(folder): it belongs to somebody else")
        }
    }

    /// What is kept, and the open file that it is in.
    package struct Entry: Sendable {
        package let held: HeldToken
        /// When it was last checked, or came, in milliseconds since 1970.
        package let checked: Int64
        private let file: OpenFile

        fileprivate init(_ held: HeldToken, checked: Int64, _ file: OpenFile) {
            (self.held, self.checked, self.file) = (held, checked, file)
        }

        /// Notes that it was good at this moment. Where another token has taken its place, nothing happens.
        package func markChecked(at now: Int64) {
            setTime(of: file.descriptor, now)
        }
    }

    /// - Throws: why what is there is not used. It may be written over.
    package func entry() throws(CacheFailure) -> Entry? {
        let descriptor = openat(folder, "\(name).token", O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw CacheFailure("\(path)/\(name).token")
        }
        let file = OpenFile(descriptor)
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw CacheFailure("\(path)/\(name).token") }
        guard status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid(), status.st_mode & 0o077 == 0,
            status.st_nlink <= 1
        else { throw unusable("is not this user's alone") }
        guard status.st_size <= Self.maximumLength else { throw unusable("is damaged") }
        var bytes = [UInt8](repeating: 0, count: Self.maximumLength)
        let count = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
        guard count >= 0 else { throw CacheFailure("\(path)/\(name).token") }
        let held: HeldToken?
        do throws(UnusableEntry) {
            held = try HeldToken(parsing: Array(bytes.prefix(count)), key)
        } catch {
            throw unusable(error.words)
        }
        let checked = Int64(status.st_mtim.tv_sec) * 1000 + Int64(status.st_mtim.tv_nsec) / 1_000_000
        return held.map { Entry($0, checked: checked, file) }
    }

    private static let maximumLength = 32 * 1024

    private func unusable(_ words: String) -> CacheFailure {
        CacheFailure(words: "\(path)/\(name).token \(words), and is not used")
    }

    /// A lock of all processes that want this token.
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
    package func lock() -> Locking {
        let lock = "\(name).lock"
        while true {
            let descriptor = openat(folder, lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
            guard descriptor >= 0 else { return .impossible(CacheFailure("\(path)/\(lock)")) }
            let file = OpenFile(descriptor)
            while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
                switch errno {
                case EINTR: continue
                case EWOULDBLOCK: return .busy
                default: return .impossible(CacheFailure("\(path)/\(lock)"))
                }
            }
            // It may have been taken away before it was locked, and others lock another one under its name.
            var (mine, named) = (stat(), stat())
            if fstat(descriptor, &mine) == 0, fstatat(folder, lock, &named, AT_SYMLINK_NOFOLLOW) == 0,
                mine.st_ino == named.st_ino
            {
                return .taken(Lock(file))
            }
        }
    }

    /// Keeps `held` in the place of what is there. Who reads sees the one or the other, whole.
    /// - Parameter lock: shows that nobody else writes.
    package func keep(_ held: HeldToken, _ lock: Lock) throws(CacheFailure) {
        guard let bytes = try? held.encoded(key) else { throw CacheFailure(words: "the token cannot be written") }
        try write(Array(bytes), to: "\(name).token", at: held.received)
        sweep(before: held.received - Self.longest)
    }

    private func write(_ bytes: [UInt8], to file: String, at now: Int64) throws(CacheFailure) {
        let new = "\(name).new"
        // What somebody left who was killed.
        unlinkat(folder, new, 0)
        let descriptor = openat(folder, new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw CacheFailure("\(path)/\(new)") }
        let draft = OpenFile(descriptor)
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw abandoned(new) }
            rest = rest.dropFirst(count)
        }
        setTime(of: draft.descriptor, now)
        guard renameat(folder, new, folder, file) == 0 else { throw abandoned(new) }
    }

    /// In milliseconds: no token lasts longer.
    private static let longest: Int64 = 25 * 3600 * 1000

    private func abandoned(_ new: String) -> CacheFailure {
        let failure = CacheFailure("\(path)/\(new)")
        unlinkat(folder, new, 0)
        return failure
    }

    /// Takes what is there away, if it is still this token.
    package func discard(_ token: TokenText, _ lock: Lock) {
        guard let entry = try? entry(), entry.held.token == token else { return }
        unlinkat(folder, "\(name).token", 0)
    }

    /// Takes away what others left that has ended long ago.
    private func sweep(before moment: Int64) {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        for name in names.prefix(1000) where Self.endings.contains(where: name.hasSuffix) {
            var status = stat()
            guard fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0,
                Int64(status.st_mtim.tv_sec) * 1000 < moment
            else { continue }
            guard name.hasSuffix(".lock") else {
                unlinkat(folder, name, 0)
                continue
            }
            let descriptor = openat(folder, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC)
            guard descriptor >= 0 else { continue }
            let file = OpenFile(descriptor)
            if flock(file.descriptor, LOCK_EX | LOCK_NB) == 0 { unlinkat(folder, name, 0) }
        }
    }

    private static let endings = [".token", ".new", ".failure", ".lock"]
}

/// What those who wait for another's exchange are told where that fails.
extension TokenCache {
    /// - Parameter lock: shows that nobody else writes.
    package func keep(_ failure: TokenFailure, at now: Int64, _ lock: Lock) {
        var words: [String: JSON] = [
            "version": .integer(1), "key": .string(key), "at": .integer(now), "kind": .string(failure.kind),
            "words": .string(failure.words),
        ]
        if case .overloaded(_, let pause) = failure { words["after"] = .integer(pause.components.seconds) }
        guard let bytes = try? JSON.object(words).encoded() else { return }
        try? write(Array(bytes), to: "\(name).failure", at: now)
    }

    /// - Parameter start: in milliseconds since 1970.
    /// - Returns: nil where nobody has failed from then on.
    package func failure(since start: Int64) -> TokenFailure? {
        let descriptor = openat(folder, "\(name).failure", O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        let file = OpenFile(descriptor)
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = bytes.withUnsafeMutableBytes { read(file.descriptor, $0.baseAddress, $0.count) }
        guard count > 0, let json = try? JSON(parsing: Data(bytes.prefix(count)), depth: 1),
            json["version"]?.count == 1, json["key"]?.text?.utf8.elementsEqual(key.utf8) == true,
            let at = json["at"]?.count, at >= start,
            let kind = json["kind"]?.text, let words = json["words"]?.text
        else { return nil }
        return TokenFailure(kind: kind, words: words, after: .seconds(min(max(json["after"]?.count ?? 1, 1), 3600)))
    }
}

/// Why there is no cache, or not all of it. The words hold no secret.
package struct CacheFailure: Error, Sendable, Hashable {
    package let words: String

    init(words: String) {
        self.words = words
    }

    /// The operating system's words for its last error.
    init(_ path: String) {
        words = "\(path): \(String(cString: strerror(errno)))"
    }
}

/// A descriptor that is closed with its last reference.
private final class OpenFile: Sendable {
    let descriptor: CInt

    init(_ descriptor: CInt) {
        self.descriptor = descriptor
    }

    deinit {
        close(descriptor)
    }
}

/// - Parameter now: in milliseconds since 1970.
private func setTime(of descriptor: CInt, _ now: Int64) {
    let time = timespec(tv_sec: Int(now / 1000), tv_nsec: Int(now % 1000) * 1_000_000)
    let times = [time, time]
    _ = futimens(descriptor, times)
}
