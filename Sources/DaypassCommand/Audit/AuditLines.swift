import BrokerClient
import FoundationEssentials
import Glibc

/// The records and checkpoints in a file of lines, one after the other.
final class AuditLines {
    /// In bytes, of a line.
    private static let maximumLength = 16 << 20
    private static let hashLength = 43

    struct Entry {
        /// From 1 on.
        let line: Int
        let sequence: Int
        /// base64url
        let hash: String
        /// Its number; nil of a record.
        let checkpoint: Int?
        let bytes: ArraySlice<UInt8>
    }

    enum Failure: Error {
        /// The line of that number cannot be read, for that reason.
        case line(Int, String)
        case file(String)
    }

    let path: String
    private let descriptor: CInt
    private var chunk = [UInt8](repeating: 0, count: 1 << 20)
    private var buffer: [UInt8] = []
    private var position = 0
    private var number = 0
    private var isAtEnd = false

    init(path: String) throws {
        self.path = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw CommandFailure(.usage, "\(path): \(String(cString: strerror(errno)))")
        }
    }

    deinit {
        close(descriptor)
    }

    /// The next entry; nil at the end. A line that was cut off is passed over where the next one is the whole of it, or
    /// where it is the last one: a broker that was killed leaves such a line, and one that runs may be about to end it.
    func next() throws(Failure) -> Entry? {
        while let (line, isWhole) = try nextLine() {
            if line.isEmpty { continue }
            if let entry = entry(line) { return entry }
            let number = number
            guard isWhole else { return nil }
            guard let (following, _) = try nextLine(), following.count > line.count,
                following.starts(with: line)
            else { throw .line(number, "is no audit record and no checkpoint") }
            guard let entry = entry(following) else { throw .line(self.number, "is no audit record and no checkpoint") }
            return entry
        }
        return nil
    }

    private func nextLine() throws(Failure) -> (ArraySlice<UInt8>, isWhole: Bool)? {
        var searched = 0
        while true {
            if let end = buffer[(position + searched)...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { position = end + 1 }
                number += 1
                return (buffer[position..<end], true)
            }
            searched = buffer.count - position
            guard searched <= Self.maximumLength else { throw .line(number + 1, "is too long") }
            guard try fill() else {
                guard position < buffer.count else { return nil }
                defer { position = buffer.count }
                number += 1
                return (buffer[position...], false)
            }
        }
    }

    /// - Returns: false at the end of the file.
    private func fill() throws(Failure) -> Bool {
        guard !isAtEnd else { return false }
        var count = 0
        repeat { count = read(descriptor, &chunk, chunk.count) } while count < 0 && errno == EINTR
        guard count >= 0 else { throw .file(String(cString: strerror(errno))) }
        guard count > 0 else {
            isAtEnd = true
            return false
        }
        buffer.removeSubrange(..<position)
        position = 0
        buffer += chunk[..<count]
        return true
    }

    /// What the line says; nil where the broker does not write such a line. In a record's the number stands first and the
    /// hash last. A checkpoint's members are read here to find it: what counts is the line.
    private func entry(_ line: ArraySlice<UInt8>) -> Entry? {
        record(line) ?? checkpoint(line)
    }

    private func record(_ line: ArraySlice<UInt8>) -> Entry? {
        let ending = Array(",\"hash\":\"".utf8)
        let tail = ending.count + Self.hashLength + 2
        guard line.count > tail, line.suffix(tail).starts(with: ending), line.suffix(2).elementsEqual("\"}".utf8),
            let sequence = Self.sequence(of: line)
        else { return nil }
        let hash = line.suffix(Self.hashLength + 2).dropLast(2)
        return Entry(
            line: number, sequence: sequence, hash: String(decoding: hash, as: UTF8.self), checkpoint: nil, bytes: line)
    }

    /// The number with which a line begins that a broker wrote; nil of any other.
    static func sequence(of line: ArraySlice<UInt8>) -> Int? {
        let opening = Array("{\"sequence\":".utf8)
        guard line.starts(with: opening) else { return nil }
        var sequence = 0
        for byte in line.dropFirst(opening.count) {
            guard (0x30...0x39).contains(byte) else {
                guard byte == UInt8(ascii: ","), sequence > 0 else { return nil }
                break
            }
            guard sequence < 1 << 53 else { return nil }
            sequence = sequence * 10 + Int(byte - 0x30)
        }
        return sequence
    }

    private func checkpoint(_ line: ArraySlice<UInt8>) -> Entry? {
        guard line.starts(with: "{\"checkpoint\":".utf8), let json = try? JSON(parsing: Data(line)),
            let sequence = json["sequence"]?.count, sequence > 0, let hash = json["hash"]?.text,
            let number = json["checkpoint"]?.count
        else { return nil }
        return Entry(line: self.number, sequence: sequence, hash: hash, checkpoint: number, bytes: line)
    }
}
