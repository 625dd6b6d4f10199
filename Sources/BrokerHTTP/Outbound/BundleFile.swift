import Glibc
import SPIFFE

/// A trust bundle's file, looked at again and again.
///
/// A file counts once it has been the same at two looks: whoever writes one in place is not caught with half of it, or with
/// none, which would trust nobody. Whatever changes a file gives it another version, also within one tick of the kernel's
/// clock: by the second look that tick is over. Used by one task at a time; looking blocks.
struct BundleFile {
    private let path: String
    private var seen: Version?
    /// How often in a row it had just changed.
    private var changes = 0
    /// Half a minute, at a look a second.
    private static let maximumChanges = 30
    private var taken: Version?

    init(path: String) {
        self.path = path
    }

    enum Look: Equatable {
        /// Since it was taken.
        case unchanged
        /// It has just changed, and may change still.
        case settling
        case changed([UInt8])
        case failed(String)
    }

    mutating func look() -> Look {
        // Without waiting, so that a named pipe in the place of the file does not hang the reader.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else { return failed(errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return failed(errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { return failed("it is not a regular file") }
        let version = Version(status)
        guard version != taken else { return .unchanged }
        guard version == seen else { return settling(at: version) }
        guard status.st_size <= off_t(TrustBundle.maximumLength) else {
            taken = version
            return .failed("it is too large")
        }
        guard let bytes = FileContents.read(descriptor, limit: TrustBundle.maximumLength) else { return failed(errno) }
        guard fstat(descriptor, &status) == 0 else { return failed(errno) }
        guard Version(status) == version else { return settling(at: Version(status)) }
        taken = version
        changes = 0
        return .changed(bytes)
    }

    private mutating func settling(at version: Version) -> Look {
        seen = version
        changes += 1
        return changes < Self.maximumChanges ? .settling : .failed("it changes all the time")
    }

    /// What is there again afterwards is read anew, whatever its version.
    private mutating func failed(_ text: String) -> Look {
        (seen, taken) = (nil, nil)
        return .failed(text)
    }

    private mutating func failed(_ code: Int32) -> Look {
        failed(code == ENOENT || code == ENOTDIR ? "there is no such file" : String(cString: strerror(code)))
    }

    /// What tells one state of a file from another without reading it.
    private struct Version: Equatable {
        let device: dev_t
        let inode: ino_t
        let size: off_t
        let modified: [Int]
        /// Set by the kernel, also where somebody restores the time of modification.
        let changed: [Int]

        init(_ status: stat) {
            device = status.st_dev
            inode = status.st_ino
            size = status.st_size
            modified = [status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
            changed = [status.st_ctim.tv_sec, status.st_ctim.tv_nsec]
        }
    }
}
