import Foundation
import Synchronization

/// Where messages and log lines go.
enum StandardError {
    /// What a pipe that is ready takes without blocking (pipe(7), PIPE_BUF).
    private static let chunk = 4096

    private struct State {
        var lost = 0
        /// Whether a line was begun and not ended.
        var isCut = false
    }

    private static let state = Mutex(State())

    /// Writes a message as a whole, or, where that is impossible (a full disk, a reader that is gone), what is possible:
    /// nobody could be told.
    static func write(_ text: String) {
        state.withLock { _ in
            _ = write(Array(text.utf8)[...], waiting: true)
        }
    }

    /// Writes a log line if the other end takes it at this moment. A reader that stopped reading must not stop the
    /// requests that the lines are about: what it does not take is counted, and the count goes before the next line.
    static func log(_ line: String) {
        state.withLock { state in
            var text = state.isCut ? "\n" : ""
            if state.lost > 0 {
                text += #"{"level":"warning","message":"log lines were lost","count":"\#(state.lost)"}"# + "\n"
            }
            let bytes = Array((text + line + "\n").utf8)
            let written = write(bytes[...], waiting: false)
            switch written {
            case bytes.count: state = State()
            case 0: state.lost += 1
            default: state = State(lost: state.lost + 1, isCut: true)
            }
        }
    }

    /// - Returns: how many bytes were written.
    private static func write(_ bytes: ArraySlice<UInt8>, waiting: Bool) -> Int {
        var rest = bytes
        while !rest.isEmpty, waiting || isReady {
            let count = rest.prefix(chunk).withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
            guard count > 0 || errno == EINTR else { break }
            rest = rest.dropFirst(max(0, count))
        }
        return bytes.count - rest.count
    }

    private static var isReady: Bool {
        var descriptor = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
        return poll(&descriptor, 1, 0) == 1 && descriptor.revents & Int16(POLLOUT) != 0
    }
}
