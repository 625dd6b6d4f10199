/// The id that a response, its log lines and its audit record have in common: 128 bits as 32 hexadecimal digits.
///
/// It is no secret and no credential; it only has to be unlikely to repeat.
package struct TraceID: Sendable, Hashable, CustomStringConvertible {
    package let description: String

    package init() {
        var generator = SystemRandomNumberGenerator()
        description = Self.hexadecimal(generator.next()) + Self.hexadecimal(generator.next())
    }

    /// - Returns: nil unless `text` is 32 lower-case hexadecimal digits.
    package init?(parsing text: String) {
        let isHexadecimal = text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
        guard text.utf8.count == 32, isHexadecimal else { return nil }
        description = text
    }

    private static func hexadecimal(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }
}
