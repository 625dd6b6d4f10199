import Broker
import FoundationEssentials
import GRDB
import JOSE

/// Columns of the row that a cursor stands on. Text is read by its length: GRDB's own `String` ends at the first NUL.
extension Row {
    func text(_ column: Int) throws -> ExactString? {
        guard let bytes = bytes(column) else { return nil }
        guard let text = ExactString(validating: bytes[...]) else { throw Self.unreadable(column) }
        return text
    }

    func requiredText(_ column: Int) throws -> ExactString {
        guard let text = try text(column) else { throw Self.unreadable(column) }
        return text
    }

    func bytes(_ column: Int) -> [UInt8]? {
        (self[column] as Data?).map { Array($0) }
    }

    /// GRDB would end the process over a value that is no number.
    func integer(_ column: Int) throws -> Int64 {
        guard case .int64(let number) = (self[column] as DatabaseValue).storage else { throw Self.unreadable(column) }
        return number
    }

    func date(_ column: Int) throws -> Date { Date(milliseconds: try integer(column)) }

    func optionalDate(_ column: Int) throws -> Date? {
        (self[column] as DatabaseValue).isNull ? nil : try date(column)
    }

    func object(_ column: Int) throws -> JSONObject {
        do {
            // Our own records wrap claims in more levels than a token may have.
            return try JSONReader.readObject(bytes(column) ?? [], depth: 64)
        } catch {
            throw Self.unreadable(column)
        }
    }

    private static func unreadable(_ column: Int) -> StoreFailure {
        StoreFailure(.unreadable, "read a row", cause: "column \(column) has an unknown form")
    }
}

extension Cursor {
    /// All elements, each transformed while the cursor stands on it.
    func mapToArray<Value>(_ transform: (Element) throws -> Value) throws -> [Value] {
        var values: [Value] = []
        while let element = try next() { values.append(try transform(element)) }
        return values
    }
}
