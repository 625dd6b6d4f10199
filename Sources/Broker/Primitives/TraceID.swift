package import FoundationEssentials

/// The id that a response, its log lines and its audit record have in common: 128 bits as 32 hexadecimal digits, the first
/// 48 of them the time in milliseconds, the others random.
///
/// It is no secret and no credential; it only has to be unlikely to repeat. Ids of one time stand together in the index
/// of the audit record, which halves what a durable record costs.
package struct TraceID: Sendable, Hashable, CustomStringConvertible {
    package let description: String

    /// - Parameter now: a moment between 1970 and the year 10000; others count as the nearer end.
    package init(at now: Date = Date()) {
        var generator = SystemRandomNumberGenerator()
        let time = EpochMilliseconds(now).bits << 16 | UInt64.random(in: 0...0xFFFF, using: &generator)
        var digits: [UInt8] = []
        digits.reserveCapacity(32)
        for half in [time, generator.next()] {
            for shift in stride(from: 60, through: 0, by: -4) { digits.append(Self.digit(half >> UInt64(shift) & 15)) }
        }
        description = String(decoding: digits, as: UTF8.self)
    }

    /// - Returns: nil unless `text` is 32 lower-case hexadecimal digits.
    package init?(parsing text: String) {
        let isHexadecimal = text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
        guard text.utf8.count == 32, isHexadecimal else { return nil }
        description = text
    }

    /// What one looks like, in words.
    package static let form = "a trace id has 32 of the characters 0-9 and a-f"

    /// The moment that it says it was made at.
    package var time: Date {
        Date(timeIntervalSince1970: Double(UInt64(description.prefix(12), radix: 16) ?? 0) / 1000)
    }

    private static func digit(_ value: UInt64) -> UInt8 {
        UInt8(value < 10 ? 0x30 + value : 0x57 + value)
    }
}
