import Broker
import Glibc
import Synchronization

/// Room on the disk that is kept for revocations: a file of nothing beside the store, which shrinks where the disk is full
/// and one has to be recorded. Until it has its size again nothing else is recorded, or that would take the room.
final class DiskReserve: Sendable {
    /// For 10,000 revocations of the usual length and their audit records, at 4 KiB each, and the write-ahead log.
    static let standardSize = 48 << 20
    /// What one of them is given at once.
    private static let step: off_t = 4 << 20

    private let path: String
    private let size: off_t
    /// Whether the file has its size.
    private let isWhole: Mutex<Bool>

    /// - Parameter size: 0 keeps none.
    init(beside path: String, size: Int) {
        self.path = path + ".reserve"
        self.size = off_t(size)
        isWhole = Mutex(size == 0)
        _ = restore()
    }

    /// Brings the file to its size where it is not.
    /// - Returns: whether it is.
    func restore() -> Bool {
        isWhole.withLock { isWhole in
            guard !isWhole else { return true }
            isWhole = onFile { posix_fallocate($0, 0, size) == 0 } ?? false
            return isWhole
        }
    }

    /// Gives some of it to whatever is recorded next.
    /// - Returns: whether there was any left.
    func draw() -> Bool {
        isWhole.withLock { isWhole in
            guard size > 0 else { return false }
            let hasShrunk = onFile { file in
                var status = stat()
                guard fstat(file, &status) == 0, status.st_size > 0 || status.st_blocks > 0 else { return false }
                return ftruncate(file, max(0, status.st_size - Self.step)) == 0
            }
            if hasShrunk == true { isWhole = false }
            return hasShrunk ?? false
        }
    }

    private func onFile<Value>(_ body: (CInt) -> Value) -> Value? {
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { return nil }
        defer { close(file) }
        return body(file)
    }
}
