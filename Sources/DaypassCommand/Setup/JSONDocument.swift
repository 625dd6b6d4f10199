import BrokerClient
import FoundationEssentials

/// The text of a JSON object in which settings are changed, and nothing else: other members, their order and how they are
/// written stay as they are.
struct JSONDocument {
    private(set) var bytes: [UInt8]

    /// An object without members.
    init() {
        bytes = Array("{}\n".utf8)
    }

    /// - Returns: nil for what is no JSON object (RFC 8259), and for one that names a member twice where it matters.
    init?(_ text: String) {
        bytes = Array(text.utf8)
        guard StrictJSON.isObject(text), let json = try? JSON(parsing: Data(bytes)), case .object = json else {
            return nil
        }
        var scanner = Scanner(bytes: bytes)
        guard let root = scanner.object(), Self.isUnambiguous(root) else { return nil }
        for member in root.members where bytes[member.value.lowerBound] == UInt8(ascii: "{") {
            var inner = Scanner(bytes: bytes, at: member.value.lowerBound)
            guard let object = inner.object(), Self.isUnambiguous(object) else { return nil }
        }
    }

    private static func isUnambiguous(_ object: Scanner.Object) -> Bool {
        Set(object.members.map { Array($0.name.utf8) }).count == object.members.count
    }

    var text: String { String(decoding: bytes, as: UTF8.self) }

    /// The value at that place, of one or two names, as JSON; nil where there is none.
    func value(_ path: [String]) -> JSON? {
        var place = 0
        var value: Range<Int>?
        for name in path {
            var scanner = Scanner(bytes: bytes, at: place)
            guard let member = scanner.object()?.member(name) else { return nil }
            (place, value) = (member.value.lowerBound, member.value)
        }
        return value.flatMap { try? JSON(parsing: Data(bytes[$0])) }
    }

    /// Sets a text at one or two names from the root.
    /// - Returns: false, and nothing is changed, where the first of two names something else than an object.
    mutating func set(_ path: [String], _ text: String) -> Bool {
        guard let value = try? JSON.string(text).encoded() else { return false }
        var scanner = Scanner(bytes: bytes)
        guard let root = scanner.object(), let first = path.first else { return false }
        guard let member = root.member(first) else {
            guard path.count > 1 else { return insert(first, value, in: root, depth: 1) }
            return insert(first, Data("{}".utf8), in: root, depth: 1) && set(path, text)
        }
        guard path.count > 1 else {
            bytes.replaceSubrange(member.value, with: value)
            return true
        }
        guard bytes[member.value.lowerBound] == UInt8(ascii: "{") else { return false }
        var inner = Scanner(bytes: bytes, at: member.value.lowerBound)
        guard let object = inner.object() else { return false }
        if let found = object.member(path[1]) {
            bytes.replaceSubrange(found.value, with: value)
            return true
        }
        return insert(path[1], value, in: object, depth: 2)
    }

    /// Behind the last member, indented as the first one is.
    private mutating func insert(_ name: String, _ value: Data, in object: Scanner.Object, depth: Int) -> Bool {
        guard let encoded = try? JSON.string(name).encoded() else { return false }
        let text = Array(encoded + Data(": ".utf8) + value)
        guard let last = object.members.last, let first = object.members.first else {
            let indent = String(repeating: "  ", count: depth)
            let end = String(repeating: "  ", count: depth - 1)
            bytes.replaceSubrange(
                object.start + 1..<object.end, with: Array("\n\(indent)".utf8) + text + Array("\n\(end)".utf8))
            return true
        }
        // What stands between the brace and the first member separates members as well.
        let separator = bytes[object.start + 1..<first.start]
        let isLined = separator.contains(UInt8(ascii: "\n"))
        bytes.insert(
            contentsOf: [UInt8(ascii: ",")] + (isLined ? Array(separator) : [UInt8(ascii: " ")]) + text,
            at: last.value.upperBound)
        return true
    }

    /// Where the members of an object are, in text that is known to be JSON.
    private struct Scanner {
        struct Member {
            let name: String
            /// Of its name.
            let start: Int
            let value: Range<Int>
        }

        struct Object {
            /// Of the opening and the closing brace.
            let start: Int
            let end: Int
            let members: [Member]

            /// By its bytes: what only looks like a setting is another one.
            func member(_ name: String) -> Member? {
                members.first { $0.name.utf8.elementsEqual(name.utf8) }
            }
        }

        let bytes: [UInt8]
        var at = 0

        /// - Returns: nil where there is no object.
        mutating func object() -> Object? {
            skipBlanks()
            let start = at
            guard take("{") else { return nil }
            var members: [Member] = []
            skipBlanks()
            while !take("}") {
                skipBlanks()
                let nameStart = at
                guard skipString(), let name = try? JSON(parsing: Data(bytes[nameStart..<at])).text else { return nil }
                skipBlanks()
                guard take(":") else { return nil }
                skipBlanks()
                let valueStart = at
                guard skipValue() else { return nil }
                members.append(Member(name: name, start: nameStart, value: valueStart..<at))
                skipBlanks()
                _ = take(",")
                skipBlanks()
                guard at < bytes.count else { return nil }
            }
            return Object(start: start, end: at - 1, members: members)
        }

        private mutating func take(_ character: Unicode.Scalar) -> Bool {
            guard at < bytes.count, bytes[at] == UInt8(ascii: character) else { return false }
            at += 1
            return true
        }

        private mutating func skipBlanks() {
            while at < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[at]) { at += 1 }
        }

        private mutating func skipString() -> Bool {
            guard take("\"") else { return false }
            while at < bytes.count, bytes[at] != UInt8(ascii: "\"") {
                at += bytes[at] == UInt8(ascii: "\\") ? 2 : 1
            }
            return take("\"")
        }

        /// Objects and arrays by counting, so that no depth of theirs takes any of the stack.
        private mutating func skipValue() -> Bool {
            var depth = 0
            while at < bytes.count {
                switch bytes[at] {
                case UInt8(ascii: "\""):
                    guard skipString() else { return false }
                    if depth == 0 { return true }
                case UInt8(ascii: "{"), UInt8(ascii: "["):
                    depth += 1
                    at += 1
                case UInt8(ascii: "}"), UInt8(ascii: "]"):
                    // The end of what encloses a number or a word.
                    if depth == 0 { return true }
                    depth -= 1
                    at += 1
                    if depth == 0 { return true }
                case UInt8(ascii: ","), 0x20, 0x09, 0x0A, 0x0D:
                    if depth == 0 { return true }
                    at += 1
                default: at += 1
                }
            }
            return false
        }
    }
}
