import COpenSSL

/// A failure that OpenSSL reported: the operation of ours that failed and what the thread's error queue held.
///
/// It never holds input of the operation, so it can be logged.
package struct OpenSSLError: Error, Sendable, CustomStringConvertible {
    /// What was being done, in words of ours.
    package let operation: StaticString
    /// OpenSSL's reasons, oldest first; at most 8. May be empty: not every failure of OpenSSL leaves one.
    package let reasons: [String]
    package let file: StaticString
    package let line: UInt

    package var description: String {
        let cause = reasons.isEmpty ? "no reason given" : reasons.joined(separator: "; ")
        return "\(operation) failed: \(cause) (\(file):\(line))"
    }

    /// Empties the calling thread's error queue into a value. To be called right after the failure, before any
    /// suspension: the queue belongs to the thread and not to the task.
    static func drain(
        _ operation: StaticString, file: StaticString = #fileID, line: UInt = #line
    ) -> OpenSSLError {
        var reasons: [String] = []
        while case let code = ERR_get_error(), code != 0 {
            guard reasons.count < 8 else { continue }
            let text = unsafe ERR_reason_error_string(code).map { unsafe String(cString: $0) }
            reasons.append(text ?? "error \(code)")
        }
        return OpenSSLError(operation: operation, reasons: reasons, file: file, line: line)
    }

    /// Forgets what earlier calls left in this thread's queue, so that a failure only reports its own reasons.
    static func clear() {
        ERR_clear_error()
    }

    /// Whether nothing is left in the calling thread's queue.
    static var isQueueEmpty: Bool { ERR_peek_error() == 0 }
}

extension OpenSSLError: Equatable {
    package static func == (lhs: OpenSSLError, rhs: OpenSSLError) -> Bool {
        lhs.description == rhs.description
    }
}
