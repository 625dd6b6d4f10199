import Foundation
import Glibc

/// A folder of a test's own, with mode 0700. It goes with its last reference; where a test fails in a way that keeps one,
/// with the process; and where that is killed, with the next run of the tests.
package final class TemporaryFolder: Sendable {
    /// Without a slash at its end.
    package let path: String

    package init() throws {
        path = "\(try Self.ofProcess.get())/\(UUID().uuidString)"
        try Self.create(path)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    /// What the folders of all tests of a process are in: `daypass-tests-` and the process's id.
    private static let ofProcess: Result<String, any Error> = Result {
        let parent = FileManager.default.temporaryDirectory.path(percentEncoded: false)
        for name in (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? [] where isLeft(name) {
            try? FileManager.default.removeItem(atPath: "\(parent)/\(name)")
        }
        let folder = pathOfProcess()
        try create(folder)
        atexit { try? FileManager.default.removeItem(atPath: TemporaryFolder.pathOfProcess()) }
        return folder
    }

    private static let prefix = "daypass-tests-"

    private static func pathOfProcess() -> String {
        let parent = FileManager.default.temporaryDirectory
        return parent.appending(path: "\(prefix)\(getpid())").path(percentEncoded: false)
    }

    /// Whether a process that is no more left it behind.
    private static func isLeft(_ name: String) -> Bool {
        guard name.hasPrefix(prefix), let id = pid_t(name.dropFirst(prefix.count)), id > 0 else { return false }
        return id == getpid() || (kill(id, 0) != 0 && errno == ESRCH)
    }

    private static func create(_ path: String) throws {
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
    }
}
