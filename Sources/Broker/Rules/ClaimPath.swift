package import JOSE

/// Which claim a test reads: a member's name to the letter, or, when it starts with `/`, a JSON Pointer (RFC 6901).
package struct ClaimPath: Sendable, Hashable, CustomStringConvertible {
    package let text: ExactString
    private let steps: [ExactString]

    /// - Returns: nil for an empty name, and for a pointer with a `~` that is neither `~0` nor `~1`.
    package init?(parsing text: String) {
        guard !text.isEmpty, text.utf8.count <= 256 else { return nil }
        self.text = ExactString(text)
        guard text.utf8.first == UInt8(ascii: "/") else {
            steps = [self.text]
            return
        }
        var steps: [ExactString] = []
        for part in text.utf8.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
            guard let step = Self.unescape(Array(part)) else { return nil }
            steps.append(step)
        }
        self.steps = steps
    }

    /// The member at the top of the claims that the path starts from.
    package var topLevelName: ExactString { steps[0] }

    /// Whether it leads into a claim instead of to one.
    package var isNested: Bool { steps.count > 1 }

    /// The same for every spelling of one path: its steps, each behind a slash, escaped as in a JSON Pointer.
    package var canonical: ExactString {
        ExactString(
            steps.map { "/" + $0.string.replacing("~", with: "~0").replacing("/", with: "~1") }.joined())
    }

    package func isSame(as other: ClaimPath) -> Bool { steps == other.steps }

    /// Whether it leads where `text` leads, however either is spelt: `/iss` is `iss`.
    package func isSame(as text: ExactString) -> Bool {
        ClaimPath(parsing: text.string)?.steps == steps
    }

    /// The value that the path leads to, or nil where it leads nowhere.
    package func value(in claims: JSONObject) -> JSONValue? {
        var value = claims[steps[0]]
        for step in steps.dropFirst() {
            switch value {
            case .object(let object): value = object[step]
            case .array(let array): value = Self.index(step, below: array.count).map { array[$0] }
            default: return nil
            }
        }
        return value
    }

    /// The values on the way that the path leads, the member at the top first: as many as the path has steps where it
    /// leads to a value, and fewer where it ends before.
    package func trail(in claims: JSONObject) -> [JSONValue] {
        var trail: [JSONValue] = []
        var value = claims[steps[0]]
        for step in steps.dropFirst() {
            guard let current = value else { return trail }
            trail.append(current)
            switch current {
            case .object(let object): value = object[step]
            case .array(let array): value = Self.index(step, below: array.count).map { array[$0] }
            default: return trail
            }
        }
        return value.map { trail + [$0] } ?? trail
    }

    /// How many values a trail has that leads to the path's end.
    package var length: Int { steps.count }

    package var description: String { text.string }

    private static func index(_ step: ExactString, below count: Int) -> Int? {
        let isCanonical = step == "0" || step.utf8.first.map { (0x31...0x39).contains($0) } == true
        guard isCanonical, step.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let index = Int(step.string),
            index < count
        else { return nil }
        return index
    }

    private static func unescape(_ part: [UInt8]) -> ExactString? {
        var bytes: [UInt8] = []
        var index = 0
        while index < part.count {
            if part[index] == UInt8(ascii: "~") {
                index += 1
                guard index < part.count else { return nil }
                switch part[index] {
                case UInt8(ascii: "0"): bytes.append(UInt8(ascii: "~"))
                case UInt8(ascii: "1"): bytes.append(UInt8(ascii: "/"))
                default: return nil
                }
            } else {
                bytes.append(part[index])
            }
            index += 1
        }
        return ExactString(validating: bytes[...])
    }
}
