internal import FoundationEssentials
internal import Glibc

/// The files of this machine. Symbolic links are followed: that is how mounted configuration is often laid out.
package struct LocalFiles: ConfigurationFiles {
    package init() {}

    package func contents(of path: String, limit: Int) throws(FileFailure) -> [UInt8] {
        // Without waiting, so that a named pipe in the place of a file does not hang the reader.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else { throw Self.failure(errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Self.failure(errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .notAFile }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            guard count >= 0 else {
                if errno == EINTR { continue }
                throw Self.failure(errno)
            }
            if count == 0 { return bytes }
            bytes += chunk.prefix(count)
            guard bytes.count <= limit else { throw .tooLarge }
        }
    }

    package func names(in folder: String) throws(FileFailure) -> [String] {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: folder)
        } catch {
            guard access(folder, R_OK | X_OK) != 0 else { throw .notAFile }
            throw Self.failure(errno)
        }
    }

    package func absolutePath(_ path: String) -> String {
        guard !path.hasPrefix("/") else { return path }
        let folder = FileManager.default.currentDirectoryPath
        return folder.hasSuffix("/") ? folder + path : "\(folder)/\(path)"
    }

    private static func failure(_ code: Int32) -> FileFailure {
        code == ENOENT || code == ENOTDIR ? .missing : .unreadable(code)
    }
}

extension FileFailure: CustomStringConvertible {
    package var description: String {
        switch self {
        case .missing: "there is no such file"
        case .notAFile: "it is not a regular file"
        case .tooLarge: "it is too large"
        case .unreadable(let code): String(cString: strerror(code))
        }
    }
}
