import Broker
import Glibc
import Synchronization

/// That no other `daypassd` writes the same store: two would each believe in their own keys and revocations. Held on a
/// file of its own, `….lock`, so that tools can still read the store; it goes with the process, however that ends.
final class StoreLock: Sendable {
    private let descriptor: Mutex<CInt?>

    /// - Throws: `.unavailable`, at once, where it is taken.
    init(beside path: String) throws(StoreFailure) {
        let lockPath = path + ".lock"
        let descriptor = open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw StoreFailure(
                .unavailable, "open the store", cause: "\(lockPath) cannot be made: \(String(cString: strerror(errno)))"
            )
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let cause =
                errno == EWOULDBLOCK
                ? "another daypassd has \(path) open"
                : "\(lockPath) cannot be locked: \(String(cString: strerror(errno)))"
            Glibc.close(descriptor)
            throw StoreFailure(.unavailable, "open the store", cause: cause)
        }
        self.descriptor = Mutex(descriptor)
    }

    func release() {
        descriptor.withLock {
            guard let open = $0 else { return }
            // Closing alone would leave it to whatever process was forked meanwhile and has not yet begun its program.
            flock(open, LOCK_UN)
            Glibc.close(open)
            $0 = nil
        }
    }

    deinit {
        release()
    }
}
