import Broker
import Foundation
import OpenSSL

/// The file that holds the master key.
enum MasterKeyFile {
    /// - Parameter credentials: the folder in which systemd puts a service's credentials.
    /// - Throws: also when others than its owner may read it: the key would be no secret then.
    static func read(
        _ path: String, credentials: String? = ProcessInfo.processInfo.environment["CREDENTIALS_DIRECTORY"]
    ) throws -> MasterKey {
        var bytes = try contents(
            of: path, upTo: 256, credentials: credentials, whenMissing: "; `daypassd init` makes one for a new store")
        do {
            return try MasterKey(file: SecretBytes(moving: &bytes))
        } catch {
            throw CommandFailure("\(path): \(error)")
        }
    }

    /// The first bytes of a file that holds a secret.
    /// - Parameter hint: what is said of a file that is missing.
    /// - Throws: also when others than its owner may read it. Not where root gives it to this process by one of its groups,
    ///   as Kubernetes does, or by an access list, as systemd does, and to nobody to change.
    static func contents(
        of path: String, upTo length: Int,
        credentials: String? = ProcessInfo.processInfo.environment["CREDENTIALS_DIRECTORY"],
        whenMissing hint: String = ""
    ) throws -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw CommandFailure("\(path): \(reason(errno))\(errno == ENOENT ? hint : "")")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw CommandFailure("\(path): not a regular file")
        }
        // The group of a file with an access list is root's, and its bits are the list's.
        let groups = isIn(credentials, path) ? Self.groups + [0] : Self.groups
        guard isPrivate(mode: status.st_mode, owner: status.st_uid, group: status.st_gid, to: geteuid(), in: groups)
        else { throw CommandFailure("\(path): others than its owner have access to it; chmod 600 it") }
        var bytes = [UInt8](repeating: 0, count: length)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        guard count >= 0 else { throw CommandFailure("\(path): \(reason(errno))") }
        bytes.removeSubrange(count...)
        return bytes
    }

    /// - Parameters:
    ///   - user: that of this process.
    ///   - groups: whose members may read it: those of this process.
    static func isPrivate(mode: mode_t, owner: uid_t, group: gid_t, to user: uid_t, in groups: [gid_t]) -> Bool {
        mode & 0o077 == 0 || (owner == 0 && user != 0 && mode & 0o037 == 0 && groups.contains(group))
    }

    /// Whether a file lies directly in a folder.
    static func isIn(_ folder: String?, _ path: String) -> Bool {
        guard let folder, folder.hasPrefix("/"), path.hasPrefix(folder + "/") else { return false }
        return !path.dropFirst(folder.count + 1).contains("/")
    }

    /// Those of this process.
    private static var groups: [gid_t] {
        var others = [gid_t](repeating: 0, count: Int(max(getgroups(0, nil), 0)))
        let count = getgroups(Int32(others.count), &others)
        return [getegid()] + others.prefix(Int(max(count, 0)))
    }

    /// Makes a new key in a new file, mode 0600.
    /// - Throws: when there is a file of that name already, among others.
    static func create(_ path: String) throws -> MasterKey {
        let (key, file) = try MasterKey.generate()
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw CommandFailure("\(path): \(reason(errno))") }
        defer { close(descriptor) }
        let isWritten = file.withSpan { span in
            span.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) == $0.count }
        }
        guard isWritten, fsync(descriptor) == 0 else {
            let cause = reason(errno)
            unlink(path)
            throw CommandFailure("\(path): \(cause)")
        }
        return key
    }

    private static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }
}
