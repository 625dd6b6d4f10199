/// The values of a label: an enumeration of ours, so that nothing from outside can become a series.
///
/// The raw values are those that Swift gives: 0, 1, 2, …
package protocol MetricLabel: CaseIterable, RawRepresentable, Sendable where RawValue == Int {}

extension MetricLabel {
    /// The case's name in snake case: what a scrape and a record show.
    package var text: String {
        "\(self)".flatMap { $0.isUppercase ? "_\($0.lowercased())" : "\($0)" }.reduce(into: "") { $0.append($1) }
    }
}

/// For a metric without a label of that kind.
package enum Unlabelled: Int, MetricLabel {
    case all
}

/// The labels of a series as they are written, without braces: `issuer="github",rule="ci-main"`.
package struct MetricLabels: Sendable {
    let bytes: [UInt8]

    /// - Parameter labels: names of ours, and values that configuration bounds; the values are escaped here.
    package init(_ labels: [(name: String, value: String)] = []) {
        bytes = labels.map { "\($0.name)=\"\(Self.escaped($0.value))\"" }.joined(separator: ",").utf8.map { $0 }
    }

    /// Backslash, quote and line feed, as the text format asks.
    private static func escaped(_ value: String) -> String {
        var text = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\\": text += #"\\"#
            case "\"": text += #"\""#
            case "\n": text += #"\n"#
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}
