package import FoundationEssentials

/// A moment as records have it: in whole milliseconds, and as RFC 3339 text in UTC that always has three decimals, so that
/// such texts sort as the moments do.
package struct RecordedTime: Sendable, Hashable {
    /// Since 1970; within the years 0000 to 9999, which is what the text can say.
    package let milliseconds: Int64

    /// Rounded to a millisecond; the nearer end where it is beyond the years 0000 to 9999.
    package init(_ moment: Date) {
        let value = (moment.timeIntervalSince1970 * 1000).rounded()
        milliseconds = Self.range.clamped(Int64(exactly: value) ?? (value > 0 ? .max : .min))
    }

    /// - Returns: nil unless `text` is `YYYY-MM-DDTHH:MM:SS.mmmZ`, a moment that there is.
    package init?(parsing text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count == Self.form.count,
            zip(bytes, Self.form).allSatisfy({ byte, form in
                form == UInt8(ascii: "0") ? (0x30...0x39).contains(byte) : byte == form
            })
        else { return nil }
        func number(_ range: Range<Int>) -> Int64 { bytes[range].reduce(0) { $0 * 10 + Int64($1 - 0x30) } }
        let (year, month, day) = (number(0..<4), number(5..<7), number(8..<10))
        let (hour, minute, second) = (number(11..<13), number(14..<16), number(17..<19))
        guard (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 60 else { return nil }
        let days = Self.days(year, month, day)
        guard Self.date(days) == (year, month, day) else { return nil }
        milliseconds = ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + number(20..<23)
    }

    package var date: Date { Date(timeIntervalSince1970: Double(milliseconds) / 1000) }

    /// `YYYY-MM-DDTHH:MM:SS.mmmZ`
    package var text: String {
        var bytes: [UInt8] = []
        append(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends `text`, 24 bytes.
    package func append(to output: inout [UInt8]) {
        let days = Self.floored(milliseconds, Self.day)
        let time = milliseconds - days * Self.day
        let (year, month, day) = Self.date(days)
        func digits(_ value: Int64, _ count: Int, _ next: UInt8) {
            var divisor: Int64 = 1
            for _ in 1..<count { divisor *= 10 }
            while divisor > 0 {
                output.append(0x30 + UInt8(value / divisor % 10))
                divisor /= 10
            }
            output.append(next)
        }
        digits(year, 4, UInt8(ascii: "-"))
        digits(month, 2, UInt8(ascii: "-"))
        digits(day, 2, UInt8(ascii: "T"))
        digits(time / 3_600_000, 2, UInt8(ascii: ":"))
        digits(time / 60_000 % 60, 2, UInt8(ascii: ":"))
        digits(time / 1000 % 60, 2, UInt8(ascii: "."))
        digits(time % 1000, 3, UInt8(ascii: "Z"))
    }

    private static let form = Array("0000-00-00T00:00:00.000Z".utf8)
    private static let day: Int64 = 86_400_000
    private static let range: ClosedRange<Int64> = -62_167_219_200_000...253_402_300_799_999

    private static func floored(_ value: Int64, _ divisor: Int64) -> Int64 {
        (value >= 0 ? value : value - divisor + 1) / divisor
    }

    // The proleptic Gregorian calendar in eras of 400 years, which are all alike; years begin in March, so that the day
    // that some have more is their last.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month > 2 ? year : year - 1
        let era = floored(shifted, 400)
        let ofEra = shifted - era * 400
        let ofYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + ofEra * 365 + ofEra / 4 - ofEra / 100 + ofYear - 719_468
    }

    private static func date(_ days: Int64) -> (Int64, Int64, Int64) {
        let shifted = days + 719_468
        let era = floored(shifted, 146_097)
        let ofEra = shifted - era * 146_097
        let year = (ofEra - ofEra / 1460 + ofEra / 36_524 - ofEra / 146_096) / 365
        let ofYear = ofEra - (365 * year + year / 4 - year / 100)
        let month = (5 * ofYear + 2) / 153
        let civil = month < 10 ? month + 3 : month - 9
        return (year + era * 400 + (civil <= 2 ? 1 : 0), civil, ofYear - (153 * month + 2) / 5 + 1)
    }
}

extension ClosedRange<Int64> {
    fileprivate func clamped(_ value: Int64) -> Int64 { Swift.min(Swift.max(value, lowerBound), upperBound) }
}
