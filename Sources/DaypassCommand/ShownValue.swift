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

    /// Of a test of a claim the values of which it has to have one, and how many more there are.
    func wanted(_ separator: String) -> String {
        var values = list("wanted").map(\.shown)
        if let more = self["omitted_wanted"]?.count { values.append("\(more) more") }
        return values.joined(separator: separator)
    }

    private var encodedText: String { (try? String(decoding: encoded(), as: UTF8.self)) ?? "" }
}
