import BrokerClient

/// Rows under titles, each column as wide as it needs to be; on a terminal the widest give way where a line is too long,
/// but not what somebody has to copy or compare.
struct Table {
    /// The titles of columns that are never cut: ids, moments, what is what, and all that a rule is about.
    private static let whole: Set = [
        "TRACE", "LAST TRACE", "SESSION", "KEY", "TIME", "SINCE", "CREATED", "FIRST USE", "LAST USE", "START", "END",
        "UNTIL", "KIND", "PROVIDER", "CLAIM", "WANTED", "GOT", "MATCH",
    ]

    private let titles: [String]
    private var rows: [[String]]

    init(_ titles: [String], _ rows: [[String]]) {
        self.titles = titles
        self.rows = rows.map { $0.map { $0.isEmpty ? "-" : ReadableText.escaped($0) } }
    }

    private static let leastWidth = 8

    /// Beside claims the rule's name is what tells one row from the next.
    private func isWhole(_ title: String) -> Bool {
        Self.whole.contains(title) || (title == "RULE" && (titles.contains("CLAIM") || titles.contains("MATCH")))
    }

    /// - Parameter columns: of the terminal; nil for output that somebody else reads.
    func lines(columns: Int?) -> [String] {
        let all = (titles.isEmpty ? [] : [titles]) + rows
        guard let first = all.first else { return [] }
        var widths = first.indices.map { column in all.map { ReadableText.width($0[column]) }.max() ?? 0 }
        let shrinking = widths.indices.filter { titles.isEmpty || !isWhole(titles[$0]) }
        while let columns, widths.reduce(0, +) + 2 * (widths.count - 1) > columns,
            let widest = shrinking.max(by: { widths[$0] < widths[$1] }), widths[widest] > Self.leastWidth
        { widths[widest] -= 1 }
        return all.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let text = ReadableText.fitted(cell, to: widths[column])
                line += column == row.count - 1 ? text : text.padded(to: widths[column] + 2)
            }
            return line
        }
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - ReadableText.width(self)))
    }
}

extension JSON {
    /// A member as a cell of a table has it.
    func cell(_ name: String) -> String {
        switch self[name] {
        case .string(let text): text
        case .integer(let integer): String(integer)
        case .number(let number): String(number)
        case .bool(let flag): flag ? "yes" : "no"
        case .array(let elements): elements.map { $0.text ?? "…" }.joined(separator: " ")
        case .object where name == "caller": self[name]?.caller ?? ""
        default: ""
        }
    }
}
