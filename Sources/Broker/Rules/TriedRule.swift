import JOSE

/// A rule that was tried, as administrators see it: out of a recorded `Explanation`, or out of a test of rules.
struct TriedRule {
    let rule: ExactString
    private let tests: [Test]

    private struct Test {
        /// A claim's name, or the parameter of an id.
        let name: ExactString
        let isClaim: Bool
        let wanted: [JSONValue]
        /// How many values more the rule takes.
        let omitted: Int
        let got: JSONValue?
        let held: Bool

        var shown: WantedValues { WantedValues(wanted, omitted: omitted) }

        /// Those that are patterns of text.
        var patterns: [ExactString] { wanted.compactMap(\.string) }
    }

    init(_ attempt: RuleAttempt) {
        let miss = attempt.miss
        rule = miss.rule
        tests =
            (miss.claims.map(\.json) + miss.ids.map(\.json) + miss.asked.map(\.json))
            .compactMap { Self.test($0, held: false) }
            + miss.held.compactMap { Self.test($0.json, held: true) }
    }

    /// - Returns: nil for what is no rule of an explanation.
    init?(_ json: JSONObject) {
        guard let rule = json["rule"]?.string, let failed = json["failed"]?.array else { return nil }
        self.rule = rule
        tests =
            failed.compactMap { Self.test($0.object, held: false) }
            + (json["held"]?.array ?? []).compactMap { Self.test($0.object, held: true) }
    }

    private static func test(_ json: JSONObject?, held: Bool) -> Test? {
        guard let json, let name = (json["claim"] ?? json["parameter"])?.string else { return nil }
        return Test(
            name: name, isClaim: json["claim"] != nil, wanted: json["wanted"]?.array ?? [],
            omitted: json["omitted_wanted"]?.number.flatMap { Int(exactly: $0) } ?? 0, got: json["got"], held: held)
    }

    /// `{"rule", "nearest", "tests": [{"claim" | "parameter", "wanted", "omitted_wanted", "held", "got"}]}`, first what failed.
    func json(isNearest: Bool) -> JSONObject {
        [
            "rule": .string(rule), "nearest": .bool(isNearest),
            "tests": .array(
                tests.map { test in
                    var json: JSONObject = [test.isClaim ? "claim" : "parameter": .string(test.name)]
                    test.shown.append(to: &json)
                    _ = json.append("held", .bool(test.held))
                    if let got = test.got { _ = json.append("got", got) }
                    return .object(json)
                }),
        ]
    }

    /// What would have to be otherwise for the rule to match, one for each test that failed: the token's claim, or the
    /// rule. All of them together are the smallest change.
    var changes: [JSONObject] {
        tests.filter { !$0.held }.map { test in
            var change: JSONObject = [test.isClaim ? "claim" : "parameter": .string(test.name)]
            test.shown.append(to: &change, as: "to")
            if let value = test.isClaim ? Self.pattern(test) : nil {
                // A line without the values that are not known would keep out whom they let in.
                if test.shown.omitted > 0 {
                    _ = change.append("or_rule_adds", .string(ExactString(Self.yaml(Self.text(value)))))
                } else {
                    let line = "\(Self.text(.string(test.name))): \(Self.text(.array(test.wanted + [value])))"
                    _ = change.append("or_rule", .string(ExactString(Self.yaml(line))))
                }
            }
            if let hint = Self.hint(test) { _ = change.append("hint", .string(ExactString(hint))) }
            return change
        }
    }

    /// The value that a line of `match` would have to list as well to take the token as it is. Nil where none can.
    private static func pattern(_ test: Test) -> JSONValue? {
        switch test.got {
        case .string(let text):
            return text.utf8.count <= Explanation.maximumValueLength ? .string(escaped(text)) : nil
        case .bool, .number:
            let value = test.got ?? .null
            // Without quotes it would be there already.
            return test.patterns.contains(ExactString(text(value))) ? nil : value
        case .array(let elements):
            // Any of them would do; the first text is as good as the next.
            return elements.lazy.compactMap(\.string).first.map { .string(escaped($0)) }
        case .null, .object, nil: return nil
        }
    }

    /// JSON of which YAML takes every character as it is: those that are no text to YAML, and its line breaks beyond those
    /// of JSON (YAML 1.1 §5.1, §5.4), by their numbers.
    private static func yaml(_ json: String) -> String {
        var line = String.UnicodeScalarView()
        for scalar in json.unicodeScalars {
            switch scalar.value {
            case 0x7F...0x9F, 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF:
                let digits = String(scalar.value, radix: 16)
                line.append(contentsOf: "\\u\(String(repeating: "0", count: 4 - digits.count))\(digits)".unicodeScalars)
            default: line.append(scalar)
            }
        }
        return String(line)
    }

    /// The pattern that is this text and no other.
    private static func escaped(_ text: ExactString) -> ExactString {
        ExactString(text.string.replacing("\\", with: #"\\"#).replacing("*", with: #"\*"#))
    }

    /// What looks alike and is not.
    private static func hint(_ test: Test) -> String? {
        if !test.isClaim, test.name == "scope" || test.name == "audience" {
            return "the rule grants no more than this, and more is asked for"
        }
        switch test.got {
        case nil:
            return test.isClaim
                ? "the token has no such claim"
                : "the request has no such parameter, which counts at POST /v1/oauth/token alone"
        case .null: return "null matches nothing"
        case .object(let object) where object["sha256"] != nil && object["bytes"] != nil:
            return "the value is long: it was kept by its digest"
        case .object: return "an object matches nothing: name a member of it, such as /\(test.name)/member"
        case .bool, .number:
            return test.patterns.contains(ExactString(text(test.got ?? .null)))
                ? "they differ in type: the rule wants a text, the token has none; write it without quotes" : nil
        case .array: return "a list matches where one of its elements does"
        case .string(let text): return hint(text, test)
        }
    }

    private static func text(_ value: JSONValue) -> String { String(decoding: value.encoded(), as: UTF8.self) }

    private static func hint(_ text: ExactString, _ test: Test) -> String? {
        let wanted = test.patterns
        let others = test.wanted.filter { $0.string == nil }
        if others.contains(where: { ExactString(Self.text($0)) == text }) {
            return "they differ in type: the token has a text; write it in quotes"
        }
        let folded = ExactString(text.string.lowercased())
        if wanted.contains(where: { ExactString($0.string.lowercased()) == folded }) {
            return "they differ in upper and lower case alone"
        }
        let trimmed = visible(text.string)
        if wanted.contains(where: { visible($0.string) == trimmed }) {
            return "they differ in spaces, characters that are not seen, or in how a letter is written"
        }
        let wider = wanted.contains { pattern in
            let stars = pattern.string.replacing("**", with: "*").replacing(#"\*"#, with: "\u{0}")
            let all = stars.replacing("*", with: "**").replacing("\u{0}", with: #"\*"#)
            return (try? Glob(parsing: all))?.matches(text) == true
        }
        return wider ? "a * is no run of characters with / or : in it; ** is" : nil
    }

    /// Compared as text that a person reads: `String` takes two spellings of one letter for the same.
    private static func visible(_ text: String) -> String {
        String(text.unicodeScalars.filter { !$0.properties.isWhitespace && !$0.properties.isDefaultIgnorableCodePoint })
    }
}
