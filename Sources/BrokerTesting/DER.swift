/// Writes the distinguished encoding rules (X.690), whatever they are asked to write: what a test sends need not be right.
package enum DER {
    package static func value(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
        [tag] + length(content.count) + content
    }

    package static func sequence(_ parts: [UInt8]...) -> [UInt8] { value(0x30, Array(parts.joined())) }

    package static func set(_ parts: [UInt8]...) -> [UInt8] { value(0x31, Array(parts.joined())) }

    package static func bool(_ bool: Bool) -> [UInt8] { value(0x01, [bool ? 0xFF : 0x00]) }

    /// - Parameter bytes: big-endian, not negative.
    package static func integer(_ bytes: [UInt8]) -> [UInt8] {
        let digits = Array(bytes.drop { $0 == 0 })
        return value(0x02, (digits.first ?? 0x80) >= 0x80 ? [0] + digits : digits)
    }

    package static func integer(_ number: UInt64) -> [UInt8] {
        integer((0..<8).reversed().map { UInt8(truncatingIfNeeded: number >> (8 * $0)) })
    }

    package static func octets(_ bytes: [UInt8]) -> [UInt8] { value(0x04, bytes) }

    /// Whole bytes.
    package static func bits(_ bytes: [UInt8]) -> [UInt8] { value(0x03, [0] + bytes) }

    /// Bits by their numbers, without trailing zeros.
    package static func namedBits(_ numbers: [Int]) -> [UInt8] {
        guard let last = numbers.max() else { return value(0x03, [0]) }
        var bytes = [UInt8](repeating: 0, count: last / 8 + 1)
        for number in numbers { bytes[number / 8] |= 0x80 >> UInt8(number % 8) }
        return value(0x03, [UInt8(7 - last % 8)] + bytes)
    }

    package static func text(_ text: String) -> [UInt8] { value(0x0C, Array(text.utf8)) }

    /// - Parameter arcs: such as 2, 5, 29, 17.
    package static func object(_ arcs: Int...) -> [UInt8] {
        var bytes = [UInt8(arcs[0] * 40 + arcs[1])]
        for arc in arcs.dropFirst(2) {
            var digits = [UInt8(arc & 0x7F)]
            var rest = arc >> 7
            while rest > 0 {
                digits.append(UInt8(rest & 0x7F) | 0x80)
                rest >>= 7
            }
            bytes += digits.reversed()
        }
        return value(0x06, bytes)
    }

    private static func length(_ count: Int) -> [UInt8] {
        guard count >= 0x80 else { return [UInt8(count)] }
        let bytes = (0..<8).reversed().map { UInt8(truncatingIfNeeded: count >> (8 * $0)) }.drop { $0 == 0 }
        return [0x80 | UInt8(bytes.count)] + bytes
    }
}
