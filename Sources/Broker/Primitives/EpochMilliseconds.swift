package import FoundationEssentials

/// A moment as whole milliseconds since 1970, in the 48 bits that identifiers begin with (as in RFC 9562 §5.7).
package struct EpochMilliseconds: Sendable {
    /// Below 2⁴⁸.
    package let bits: UInt64

    /// - Parameter moment: clamped to what 48 bits hold, so that no clock can trap.
    package init(_ moment: Date) {
        let milliseconds = moment.timeIntervalSince1970 * 1000
        bits = UInt64(max(0, min(milliseconds, 0x1p48 - 1)))
    }

    /// Six bytes, the most significant first.
    package var bytes: [UInt8] {
        (0..<6).map { UInt8(truncatingIfNeeded: bits >> (40 - 8 * UInt64($0))) }
    }
}
