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
        self.init(TraceNumber(at: now, UInt16.random(in: 0...0xFFFF, using: &generator), generator.next()))
    }

    package init(_ number: TraceNumber) {
        let digits = number.digits
        description = String(decoding: digits.indices.map { digits[$0] }, as: UTF8.self)
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
}

/// The 128 bits of a trace id, for whoever writes it without making a text of it.
package struct TraceNumber: Sendable {
    private let high: UInt64
    private let low: UInt64

    /// - Parameters:
    ///   - random: 16 of its random bits; they have to be drawn anew for each.
    ///   - more: the other 64.
    package init(at now: Date, _ random: UInt16, _ more: UInt64) {
        high = EpochMilliseconds(now).bits << 16 | UInt64(random)
        low = more
    }

    /// The 32 digits of the id, in ASCII.
    package var digits: SIMD32<UInt8> {
        let words = SIMD4(
            Self.digits(UInt32(truncatingIfNeeded: high >> 32)), Self.digits(UInt32(truncatingIfNeeded: high)),
            Self.digits(UInt32(truncatingIfNeeded: low >> 32)), Self.digits(UInt32(truncatingIfNeeded: low)))
        return unsafe unsafeBitCast(words, to: SIMD32<UInt8>.self)
    }

    /// Eight digits, all at once: the first one in the byte that stands first in memory.
    private static func digits(_ bits: UInt32) -> UInt64 {
        var word = UInt64(bits)
        // A nibble to each byte.
        word = (word | word << 16) & 0x0000_FFFF_0000_FFFF
        word = (word | word << 8) & 0x00FF_00FF_00FF_00FF
        word = (word | word << 4) & 0x0F0F_0F0F_0F0F_0F0F
        // Of those above nine adding six reaches the next nibble.
        let letters = (word &+ 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101
        return (word &+ 0x3030_3030_3030_3030 &+ letters &* 0x27).bigEndian
    }
}
