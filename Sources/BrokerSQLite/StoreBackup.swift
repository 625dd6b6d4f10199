package import FoundationEssentials
import Glibc
package import Broker

/// A copy of a store in a file of its own, made whether a broker has the store open or not.
package struct StoreBackup: Sendable {
    /// Absolute, without symbolic links.
    package let path: String
    package let bytes: Int
    package let generation: Int
    /// When the last audit record in it was made; nil where there is none.
    package let lastRecord: Date?

    /// Writes a backup of the store at `source`: everything that was durable before the call, and nothing by halves.
    /// Blocks the calling thread for as long as it takes.
    ///
    /// The file appears under its name when it is whole, checked and on the disk, readable by its owner alone. Until then
    /// it is `….partial`; what a killed one leaves under that name goes with the next.
    /// - Throws: `.conflict` where there is a file of that name, or another backup is being written to it; `.unreadable`
    ///   where the store is damaged.
    package init(of source: String, to target: String, at now: Date) throws(StoreFailure) {
        let store = try StoreFile(path: source)
        try store.prepare(.existing)
        path = try StoreFile(path: target).path
        try FileSystem.refuseExisting(path, "back up the store", "; a backup never takes the place of a file")
        let partial = try PartialFile(path + ".partial")
        defer { partial.remove() }
        try StoreCopy.make(of: store.path, at: partial.path, checking: false)
        let contents = try StoreCopy.finish(partial.path, madeAt: now)
        bytes = try partial.publish(as: path)
        generation = contents.generation?.number ?? 1
        lastRecord = contents.lastRecord
    }
}

/// A new, empty file for its owner alone, under the name that it has until it is whole.
final class PartialFile {
    let path: String
    private let descriptor: CInt

    /// What a process that is gone left under the name is removed; never written to, since it may have got another name
    /// too.
    init(_ path: String) throws(StoreFailure) {
        var descriptor = Self.create(path)
        if descriptor < 0, errno == EEXIST {
            let left = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
            guard left >= 0, flock(left, LOCK_EX | LOCK_NB) == 0 else {
                if left >= 0 { Glibc.close(left) }
                throw StoreFailure(
                    .conflict, "make a copy of the store", cause: "\(path) is being written, or is not ours")
            }
            unlink(path)
            Glibc.close(left)
            descriptor = Self.create(path)
        }
        guard descriptor >= 0 else { throw FileSystem.failure(path, "make a copy of the store") }
        self.path = path
        self.descriptor = descriptor
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw StoreFailure(.conflict, "make a copy of the store", cause: "\(path) is being written")
        }
    }

    private static func create(_ path: String) -> CInt {
        open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    }

    func write(_ bytes: [UInt8]) throws(StoreFailure) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress.map { $0 + written }, bytes.count - written)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw FileSystem.failure(path, "write a file") }
            written += count
        }
    }

    /// Makes it durable, and gives it its name unless a file has that.
    /// - Returns: its length in bytes.
    func publish(as name: String) throws(StoreFailure) -> Int {
        var status = stat()
        guard fchmod(descriptor, 0o600) == 0, fsync(descriptor) == 0, fstat(descriptor, &status) == 0 else {
            throw FileSystem.failure(path, "back up the store")
        }
        // Unlike `rename`, it takes nobody's place.
        guard link(path, name) == 0 else { throw FileSystem.failure(name, "back up the store") }
        unlink(path)
        try FileSystem.syncFolder(of: name, "back up the store")
        return Int(status.st_size)
    }

    func remove() {
        unlink(path)
    }

    deinit {
        Glibc.close(descriptor)
    }
}

/// What backups and restoring do with files.
enum FileSystem {
    static func refuseExisting(_ path: String, _ operation: StaticString, _ hint: String) throws(StoreFailure) {
        var status = stat()
        guard lstat(path, &status) != 0 else {
            throw StoreFailure(.conflict, operation, cause: "\(path) exists\(hint)")
        }
    }

    static func exists(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }

    /// Makes the names in a file's folder durable.
    static func syncFolder(of path: String, _ operation: StaticString) throws(StoreFailure) {
        let slash = path.lastIndex(of: "/") ?? path.startIndex
        let folder = slash == path.startIndex ? "/" : String(path[..<slash])
        try sync(folder, operation, flags: O_DIRECTORY)
    }

    static func sync(_ path: String, _ operation: StaticString, flags: CInt = 0) throws(StoreFailure) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | flags)
        guard descriptor >= 0 else { throw failure(path, operation) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw failure(path, operation) }
    }

    static func failure(_ path: String, _ operation: StaticString) -> StoreFailure {
        StoreFailure(
            errno == EEXIST ? .conflict : .unavailable, operation, cause: "\(path): \(String(cString: strerror(errno)))"
        )
    }
}
