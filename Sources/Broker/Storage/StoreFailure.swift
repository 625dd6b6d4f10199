/// Why the store did not do what it was asked. Holds no value that was to be stored.
package struct StoreFailure: Error, Sendable, CustomStringConvertible {
    package enum Code: String, Sendable {
        /// It may work later: locked, full, or too much is waiting.
        case unavailable
        /// What was asked contradicts what is stored.
        case conflict
        /// What is stored cannot be understood, or was made by a newer version.
        case unreadable
    }

    package let code: Code
    package let operation: StaticString
    package let cause: String
    package let file: StaticString
    package let line: UInt

    package init(
        _ code: Code, _ operation: StaticString, cause: String, file: StaticString = #fileID, line: UInt = #line
    ) {
        self.code = code
        self.operation = operation
        self.cause = cause
        self.file = file
        self.line = line
    }

    package var description: String { "\(operation): \(code.rawValue): \(cause) (\(file):\(line))" }
}
