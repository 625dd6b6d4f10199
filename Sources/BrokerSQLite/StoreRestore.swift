package import Broker
package import FoundationEssentials
import Glibc
package import Logging

/// A store that is being restored from a backup: the backup's contents in a file beside the store's own place, which no
/// broker can open meanwhile. It becomes the store with `commit`, or is gone with `discard`.
package final class StoreRestore: Sendable {
    /// The copy, brought up to date: what is to change before it serves is changed here.
    package let store: SQLiteStore
    /// Where the store is to be.
    package let path: String
    /// Of the store that is replaced, the time of its last record, and the last numbers of credentials that it gave out, as
    /// far as it can still be read.
    package let replaced: (generation: Int, lastRecord: Date?, credentials: [CredentialPosition])?

    private let temporary: String
    private let lock: StoreLock

    /// Copies the backup in `file` beside the store's place. Blocks the calling thread. The backup is only read.
    /// - Parameter replacing: whether a store that is at `path` may be set aside.
    /// - Throws: `.unavailable` where a broker has the store open, `.conflict` where there is one that may not be set
    ///   aside, `.unreadable` where the backup is damaged, no store, or a newer version's. Nothing has changed then.
    package init(from file: String, to path: String, replacing: Bool, logger: Logger) throws(StoreFailure) {
        let backup = try StoreFile(path: file)
        do throws(StoreFailure) {
            try backup.prepare(.existing)
        } catch {
            throw StoreFailure(
                error.code, "restore the store", cause: error.cause.replacing("; `daypassd init` makes it", with: ""))
        }
        let place = try StoreFile(path: path)
        lock = try StoreLock(beside: place.path)
        self.path = place.path
        temporary = place.path + ".restoring"
        guard backup.path != temporary else {
            throw StoreFailure(
                .conflict, "restore the store", cause: "\(temporary) is where the copy is made: give it another name")
        }
        if FileSystem.exists(place.path) {
            guard replacing else {
                throw StoreFailure(
                    .conflict, "restore the store", cause: "\(place.path) exists; with --replace it is kept beside it")
            }
            let companions = ["-wal", "-shm"].map { place.path + $0 }.filter { !FileSystem.exists($0) }
            replaced = StoreCopy.contents(of: place.path)
                .map { ($0.generation?.number ?? 1, $0.lastRecord, $0.credentials) }
            // A connection that only reads may not remove what it made; with the lock nobody else needs it.
            for companion in companions { unlink(companion) }
        } else {
            replaced = nil
        }
        Self.remove(temporary)
        do throws(StoreFailure) {
            let descriptor = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
            guard descriptor >= 0 else { throw FileSystem.failure(temporary, "restore the store") }
            close(descriptor)
            try StoreCopy.make(of: backup.path, at: temporary, checking: true)
            store = try SQLiteStore(path: temporary, .existing, logger: logger)
        } catch {
            Self.remove(temporary)
            throw error
        }
    }

    /// Puts the copy in the store's place.
    ///
    /// A store that is there gets its other name first, its write-ahead log with it: it is at every moment whole under one
    /// of the two. Nothing takes a file's place; where it is interrupted in between, there is no store, and restoring can be
    /// done again.
    /// - Returns: where the store is that was there, if there was one.
    package func commit(at now: Date) async throws(StoreFailure) -> String? {
        await store.close()
        guard !FileSystem.exists(temporary + "-wal") else {
            throw StoreFailure(.unavailable, "restore the store", cause: "\(temporary) could not be written to its end")
        }
        unlink(temporary + ".lock")
        try FileSystem.sync(temporary, "restore the store")
        let kept = try setAside(at: now)
        guard link(temporary, path) == 0 else { throw FileSystem.failure(path, "restore the store") }
        unlink(temporary)
        try FileSystem.syncFolder(of: path, "restore the store")
        lock.release()
        return kept
    }

    /// Leaves everything as it was before.
    package func discard() async {
        await store.close()
        Self.remove(temporary)
        lock.release()
    }

    /// - Returns: its new name; nil where there is nothing in the place.
    private func setAside(at now: Date) throws(StoreFailure) -> String? {
        let parts = ["", "-wal"].filter { FileSystem.exists(path + $0) }
        guard !parts.isEmpty else { return nil }
        let time = now.formatted(.iso8601).filter { !"-:".contains($0) }
        let kept = "\(path).replaced-\(time)"
        for part in parts {
            guard link(path + part, kept + part) == 0 else {
                let failure = FileSystem.failure(kept + part, "restore the store")
                if part == "-wal" { unlink(kept) }
                throw failure
            }
        }
        try FileSystem.syncFolder(of: path, "restore the store")
        // The file first: a log without its file is nothing that opens, and a file without its log would be an older store.
        for part in ["", "-wal", "-shm"] { unlink(path + part) }
        try FileSystem.syncFolder(of: path, "restore the store")
        return parts.contains("") ? kept : nil
    }

    private static func remove(_ path: String) {
        for suffix in ["", "-wal", "-shm", "-journal", ".lock"] { unlink(path + suffix) }
    }
}
