import Glibc

/// A secret that somebody hands over, read into one buffer that is wiped with the last reference. It is never text, and
/// nothing prints it.
package final class SecretInput {
    private let buffer: UnsafeMutableRawBufferPointer
    package private(set) var count = 0

    /// What is read.
    package enum Part: Sendable {
        case everything
        /// Up to the first line feed: what a person has typed.
        case line
    }

    /// Reads until the end. Blocks the calling thread.
    /// - Parameters:
    ///   - maximum: in bytes; one that has more is refused as soon as that is known.
    ///   - time: for all of it.
    package init(
        reading descriptor: CInt, _ part: Part = .everything, atMost maximum: Int, within time: Duration
    ) throws(SecretInputFailure) {
        // A byte more than may be says that there are more, and two that a line ends.
        buffer = .allocate(byteCount: maximum + 3, alignment: 1)
        let end = ContinuousClock.now + time
        while true {
            let left = (end - ContinuousClock.now) / .milliseconds(1)
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let ready = left > 0 ? poll(&waiting, 1, Int32(min(left.rounded(.up), 1_000_000))) : 0
            if ready < 0, errno == EINTR { continue }
            guard ready >= 0 else { throw .unreadable(Self.systemError) }
            guard ready > 0 else { throw .tooSlow }
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer[self.count...])
            let count = Glibc.read(descriptor, room.baseAddress, room.count)
            if count < 0, errno == EINTR || errno == EAGAIN { continue }
            guard count >= 0 else { throw .unreadable(Self.systemError) }
            if count == 0 { return }
            self.count += count
            guard self.count < buffer.count else { throw .tooLong(maximum) }
            if part == .line, buffer[..<self.count].contains(UInt8(ascii: "\n")) { return }
        }
    }

    deinit {
        if let start = buffer.baseAddress { explicit_bzero(start, buffer.count) }
        buffer.deallocate()
    }

    /// Takes one line feed from the end, or a carriage return and a line feed: what `echo` and editors add.
    package func dropLineEnd() {
        guard buffer[..<count].last == UInt8(ascii: "\n") else { return }
        count -= 1
        if buffer[..<count].last == UInt8(ascii: "\r") { count -= 1 }
    }

    /// The secret, for the duration of `body` only.
    package func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try body(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }

    private static var systemError: String { String(cString: strerror(errno)) }
}

extension SecretInput: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "(secret)" }
    package var debugDescription: String { "(secret)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// Why no secret was read.
package enum SecretInputFailure: Error, Sendable, Hashable {
    /// It has more than so many bytes.
    case tooLong(Int)
    case tooSlow
    /// In the operating system's words.
    case unreadable(String)
}
