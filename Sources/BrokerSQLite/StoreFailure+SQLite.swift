import Broker
import GRDB

extension StoreFailure {
    /// What SQLite or GRDB reported. Result code and message only: a `DatabaseError` describes itself with SQL and, in
    /// some builds, with arguments.
    /// - Parameter code: Where it does not follow from the error.
    init(
        _ operation: StaticString, about path: String? = nil, reporting error: any Error, as code: Code? = nil,
        file: StaticString = #fileID, line: UInt = #line
    ) {
        if let failure = error as? StoreFailure {
            self = failure
            return
        }
        let prefix = path.map { "\($0): " } ?? ""
        guard let error = error as? DatabaseError else {
            self.init(code ?? .unavailable, operation, cause: "\(prefix)\(type(of: error))", file: file, line: line)
            return
        }
        let message = error.message ?? error.resultCode.description
        self.init(
            code ?? Code(error.resultCode), operation,
            cause: "\(prefix)\(message) (SQLite code \(error.extendedResultCode.rawValue))", file: file, line: line)
    }
}

extension StoreFailure.Code {
    fileprivate init(_ code: ResultCode) {
        switch code {
        case .SQLITE_CONSTRAINT, .SQLITE_TOOBIG: self = .conflict
        case .SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_FORMAT: self = .unreadable
        default: self = .unavailable
        }
    }
}
