import Glibc

/// What an open file holds.
enum FileContents {
    /// From where the descriptor stands to the end, or a little more than `limit`, which is enough to refuse it. Blocks.
    /// - Returns: nil where it cannot be read; `errno` says why.
    static func read(_ descriptor: CInt, limit: Int) -> [UInt8]? {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while bytes.count <= limit {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return nil }
            if count == 0 { break }
            bytes += chunk.prefix(count)
        }
        return bytes
    }
}
