import Glibc

/// Text from a file or standard input, of bounded length.
enum TextFile {
    /// In bytes: as many as a token has.
    static let maximumClaimsLength = 16 * 1024

    /// - Parameters:
    ///   - path: - is standard input.
    ///   - length: of files that were read before, which together with this one may have `limit` bytes more than that.
    ///   - isFile: refuses what is none, such as a named pipe, for whose writer it would wait.
    /// - Throws: a `CommandFailure` of wrong usage where it cannot be read, is longer than `limit` bytes, or no UTF-8.
    static func read(_ path: String, atMost limit: Int, behind length: Int = 0, isFile: Bool = false) throws -> String {
        let isInput = path == "-" && !isFile
        let flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | (isFile ? O_NONBLOCK : 0)
        let descriptor = isInput ? STDIN_FILENO : open(path, flags)
        guard descriptor >= 0 else { throw CommandFailure(.usage, "\(path): \(String(cString: strerror(errno)))") }
        defer { if !isInput { close(descriptor) } }
        var status = stat()
        guard !isFile || (fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG) else {
            throw CommandFailure(.usage, "\(path): it is no file")
        }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while bytes.count <= limit {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw CommandFailure(.usage, "\(path): \(String(cString: strerror(errno)))") }
            guard count > 0 else {
                guard let text = String(validating: bytes, as: UTF8.self) else {
                    throw CommandFailure(.usage, "\(path): it is no UTF-8 text")
                }
                return text
            }
            bytes += chunk.prefix(count)
        }
        let all = length > 0 ? "with the files before it" : "it"
        throw CommandFailure(.usage, "\(path): \(all) has more than \(limit + length) bytes")
    }

    /// Whether it has the form of a signed token: what somebody takes from the wrong place.
    static func isToken(_ text: String) -> Bool {
        let parts = text.split(whereSeparator: \.isWhitespace)
        guard parts.count == 1, let token = parts.first else { return false }
        return token.hasPrefix("eyJ") && token.split(separator: ".", omittingEmptySubsequences: false).count == 3
    }
}
