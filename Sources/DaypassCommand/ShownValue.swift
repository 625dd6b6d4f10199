import BrokerClient
import FoundationEssentials

extension JSON {
    /// In one cell: text as it is, anything else as JSON. Text that could be taken for such a value is quoted, so that
    /// the text `true` is not taken for `true`.
    var shown: String {
        guard let text else { return encodedText }
        let isAmbiguous = text.isEmpty || (try? JSON(parsing: Data(text.utf8))) != nil
        return isAmbiguous ? encodedText : text
    }

    /// The values in the member of that name, and how many more there are.
    func values(_ name: String, _ separator: String) -> String {
        var values = list(name).map(\.shown)
        if let more = self["omitted_\(name)"]?.count { values.append("\(more) more") }
        return values.joined(separator: separator)
    }

    /// The same of a member, by what its name says: a list of words with blanks between them, and what a token says of times
    /// as moments.
    func shown(as name: String) -> String {
        switch self {
        case .array(let elements):
            let words = elements.compactMap(\.text).filter { !$0.isEmpty && !$0.contains(where: \.isWhitespace) }
            return words.count == elements.count && !words.isEmpty
                ? elements.map(\.shown).joined(separator: " ") : shown
        case .integer(let seconds) where Self.times.contains(name) && (0..<Self.end).contains(seconds):
            return Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601)
        default: return shown
        }
    }

    /// NumericDates (RFC 7519 §4.1)
    private static let times: Set = ["exp", "iat", "nbf", "auth_time"]
    /// The year 10000.
    private static let end: Int64 = 253_402_300_800

    private var encodedText: String { (try? String(decoding: encoded(), as: UTF8.self)) ?? "" }
}

extension JSON {
    /// Who asked, as audit records name him, in one line. A subject stands last, since it may hold anything.
    var caller: String {
        let login = self["login_uid"] == nil ? "" : ", login uid \(cell("login_uid"))"
        switch self["by"]?.text {
        case "socket": return "uid \(cell("uid"))\(login), process \(cell("pid"))"
        case "token": return "session \(cell("sid")), rule \(cell("rule")), subject \(cell("sub"))"
        case "person": return "the person, subject \(cell("sub"))"
        case "holder": return "the holder, session \(cell("sid")), rule \(cell("rule")), subject \(cell("sub"))"
        case "command": return "the command line, uid \(cell("uid"))\(login)"
        case "signal": return "a signal"
        case "schedule": return "the schedule"
        case "daemon": return "the broker"
        default: return shown
        }
    }
}
