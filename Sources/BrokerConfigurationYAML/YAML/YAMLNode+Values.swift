/// Each returns nil after it has reported what was expected.
extension YAMLNode {
    /// Text of 1 to `limit` bytes without control characters. Without quotes only what no YAML reader takes for
    /// something else.
    func text(_ problems: Problems, expected: String, limit: Int = 512) -> String? {
        switch content {
        case .refused: return nil
        case .scalar(let text, let isPlain):
            switch isPlain ? PlainScalar(text) : .text {
            case .text: break
            case .null: return refused(problems, "expected \(expected)")
            default:
                return refused(problems, "expected \(expected); if \(text.quoted) is meant as text, write it in quotes")
            }
            guard (1...limit).contains(text.utf8.count), !text.unicodeScalars.contains(where: \.isInvisible) else {
                return refused(problems, "expected \(expected)")
            }
            return text
        case .list, .mapping: return refused(problems, "expected \(expected)")
        }
    }

    func bool(_ problems: Problems) -> Bool? {
        guard case .scalar(let text, isPlain: true) = content, case .bool(let bool) = PlainScalar(text) else {
            return refused(problems, "expected true or false, without quotes")
        }
        return bool
    }

    func integer(_ problems: Problems, in range: ClosedRange<Int>) -> Int? {
        guard case .scalar(let text, isPlain: true) = content, case .number = PlainScalar(text),
            let integer = Int(text),
            range.contains(integer)
        else {
            return refused(
                problems, "expected a whole number from \(range.lowerBound) to \(range.upperBound), without quotes")
        }
        return integer
    }

    /// A whole number of at least 1 with a unit: `s`, `m`, `h` or `d`.
    func duration(_ problems: Problems, atMost limit: Duration) -> Duration? {
        guard case .scalar(let text, _) = content, let duration = Duration(written: text) else {
            return refused(problems, "expected a duration such as 30s, 15m, 6h or 7d")
        }
        guard duration <= limit else {
            return refused(problems, "expected a duration of at most \(limit.written)")
        }
        return duration
    }

    /// A list of 1 to `limit` elements; with `allowsNone`, of none as well.
    func list(_ problems: Problems, of elements: String, limit: Int = 64, allowsNone: Bool = false) -> [YAMLNode]? {
        guard case .list(let nodes) = content else {
            return refused(problems, "expected a list of \(elements)\(allowsNone ? ", [] for none" : "")")
        }
        guard nodes.count <= limit else { return refused(problems, "expected at most \(limit) \(elements)") }
        guard allowsNone || !nodes.isEmpty else {
            return refused(problems, "expected a list of \(elements), not an empty one")
        }
        return nodes
    }

    /// What `read` makes of the file `shown`, which this node names; nil, with an error here, where it fails.
    func reading<Value, Failure: Error & CustomStringConvertible>(
        _ shown: String, _ problems: Problems, failingWith: Failure.Type, _ read: () throws -> Value
    ) -> Value? {
        do {
            return try read()
        } catch let failure as FileFailure {
            return refused(problems, "\(shown): \(failure)")
        } catch let failure as Failure {
            return refused(problems, "\(shown): \(failure)")
        } catch {
            return refused(problems, "\(shown): it could not be read")
        }
    }

    /// - Returns: nil, always.
    func refused<Value>(_ problems: Problems, _ text: String) -> Value? {
        // What has been reported at this place is not reported as something else again.
        if case .refused = content { return nil }
        problems.add(place, text)
        return nil
    }
}

extension Duration {
    /// - Returns: nil unless `text` is `[1-9][0-9]{0,6}[smhd]`.
    init?(written text: String) {
        let digits = text.utf8.dropLast()
        guard let unit = text.utf8.last.flatMap({ Self.units[$0] }), (1...7).contains(digits.count),
            digits.first != UInt8(ascii: "0"), digits.allSatisfy({ (0x30...0x39).contains($0) }),
            let count = Int(Substring(digits))
        else { return nil }
        self = .seconds(count * unit)
    }

    /// In the greatest unit that fits, of whole seconds.
    var written: String {
        let seconds = Int(components.seconds)
        // 24h is usual for what ends within a day.
        if seconds % 86_400 == 0, seconds > 86_400 { return "\(seconds / 86_400)d" }
        if seconds % 3600 == 0 { return "\(seconds / 3600)h" }
        return seconds % 60 == 0 ? "\(seconds / 60)m" : "\(seconds)s"
    }

    private static let units: [UInt8: Int] = [
        UInt8(ascii: "s"): 1, UInt8(ascii: "m"): 60, UInt8(ascii: "h"): 3600, UInt8(ascii: "d"): 86_400,
    ]
}
