import FoundationEssentials

/// The field `Date` of answers (RFC 9110 §5.6.7), such as `Sat, 21 Nov 2026 23:56:38 GMT`, made once a second. Belongs to
/// one event loop.
struct HTTPDate {
    private var second = Int64.min
    private(set) var text = ""
    private(set) var bytes: [UInt8] = []

    /// - Parameter now: a moment between 1970 and the year 10000; others count as the nearer end.
    mutating func update(to now: Date) {
        let second = Int64(max(0, min(now.timeIntervalSince1970, 253_402_300_799)))
        guard second != self.second else { return }
        self.second = second
        text = Self.text(second)
        bytes = Array(text.utf8)
    }

    static func text(_ second: Int64) -> String {
        let days = second / 86400
        let time = second % 86400
        // Civil date of a day number, in the proleptic Gregorian calendar that begins in March.
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        // 1 January 1970 was a Thursday.
        let weekday = weekdays[Int((days + 4) % 7)]
        let clock = [time / 3600, time / 60 % 60, time % 60].map(twoDigits).joined(separator: ":")
        let fullYear = String(repeating: "0", count: 4 - String(year).utf8.count) + String(year)
        return "\(weekday), \(twoDigits(day)) \(months[Int(month - 1)]) \(fullYear) \(clock) GMT"
    }

    private static func twoDigits(_ number: Int64) -> String {
        number < 10 ? "0\(number)" : String(number)
    }

    private static let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
}
