import ArgumentParser
import FoundationEssentials

/// A moment, or how long ago, as an option has it.
struct PastMoment {
    let date: Date
    /// RFC 3339
    let text: String

    /// - Throws: with the forms that there are.
    init(parsing argument: String) throws {
        if let date = Self.before(argument) {
            (self.date, text) = (date, date.formatted(.iso8601))
        } else if let date = Self.date(argument) {
            (self.date, text) = (date, argument.utf8.count == Self.dayLength ? date.formatted(.iso8601) : argument)
        } else {
            throw ValidationError(
                "a time is how long ago, such as 30m, 24h or 7d, or a day such as 2027-01-31 (from 00:00 UTC on), or a "
                    + "moment such as 2027-01-31T12:00:00Z")
        }
    }

    private static let dayLength = "2027-01-31".utf8.count

    /// So long ago: 30m, 24h, 7d
    private static func before(_ text: String) -> Date? {
        guard let unit = text.last, let seconds = ["s": 1, "m": 60, "h": 3600, "d": 86_400][unit],
            let count = Int(text.dropLast()), (0...1_000_000).contains(count), text.first?.isASCII == true,
            text.first?.isNumber == true
        else { return nil }
        return Date(timeIntervalSinceNow: -Double(count * seconds))
    }

    private static func date(_ text: String) -> Date? {
        if text.utf8.count == dayLength {
            // One that there is: no 30th of February.
            let day = try? Date("\(text)T00:00:00Z", strategy: .iso8601)
            return day?.formatted(.iso8601).hasPrefix(text) == true ? day : nil
        }
        return (try? Date(text, strategy: .iso8601))
            ?? (try? Date(text, strategy: Date.ISO8601FormatStyle(includingFractionalSeconds: true)))
    }

    /// - Throws: where nothing can be between the two.
    static func checkOrder(_ since: PastMoment?, _ until: PastMoment?) throws {
        guard let since, let until, until.date <= since.date else { return }
        throw ValidationError("--until (\(until.text)) has to be later than --since (\(since.text)).")
    }
}
