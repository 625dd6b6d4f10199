/// A JSON value (RFC 8259) as our strict reader accepts it: no duplicate members, integers that a `Double` holds exactly.
package enum JSONValue: Sendable, Hashable {
    case null
    case bool(Bool)
    /// Finite and within ±2⁵³; with a fraction, the nearest `Double`.
    case number(Double)
    case string(ExactString)
    case array([JSONValue])
    case object(JSONObject)
}

extension JSONValue {
    package var string: ExactString? {
        if case .string(let string) = self { string } else { nil }
    }

    package var number: Double? {
        if case .number(let number) = self { number } else { nil }
    }

    package var array: [JSONValue]? {
        if case .array(let array) = self { array } else { nil }
    }

    package var object: JSONObject? {
        if case .object(let object) = self { object } else { nil }
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    package init(stringLiteral value: String) { self = .string(ExactString(value)) }
    package init(integerLiteral value: Int) { self = .number(Double(value)) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    package init(dictionaryLiteral elements: (ExactString, JSONValue)...) {
        self = .object(JSONObject(uniqueMembers: elements))
    }
}

/// The members of a JSON object in the order in which they stood. Names are unique, by bytes.
package struct JSONObject: Sendable {
    package typealias Member = (name: ExactString, value: JSONValue)

    package private(set) var members: [Member] = []
    /// Kept once a scan would cost more than hashing; also bounds what finding duplicates can cost.
    private var index: [ExactString: Int]?

    package init() {}

    /// - Precondition: no name twice. For objects that the program itself writes.
    package init(uniqueMembers: [(ExactString, JSONValue)]) {
        for (name, value) in uniqueMembers {
            precondition(append(name, value), "member \(name) twice")
        }
    }

    package subscript(name: ExactString) -> JSONValue? {
        position(of: name).map { members[$0].value }
    }

    /// - Returns: false, with nothing appended, when a member of that name is there already.
    package mutating func append(_ name: ExactString, _ value: JSONValue) -> Bool {
        guard position(of: name) == nil else { return false }
        index?[name] = members.count
        members.append((name, value))
        if index == nil, members.count > Self.scanned {
            index = Dictionary(uniqueKeysWithValues: members.enumerated().map { ($1.name, $0) })
        }
        return true
    }

    private func position(of name: ExactString) -> Int? {
        if let index { return index[name] }
        // By way of a span the members are looked at where they are; a copy of each would count references.
        let members = members.span
        for position in members.indices where members[position].name == name { return position }
        return nil
    }

    private static let scanned = 16
}

extension JSONObject: Hashable {
    /// Equal when the members are, in whichever order (RFC 8259 §4).
    package static func == (lhs: JSONObject, rhs: JSONObject) -> Bool {
        lhs.members.count == rhs.members.count && lhs.members.allSatisfy { rhs[$0.name] == $0.value }
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(members.count)
        hasher.combine(members.reduce(0) { $0 ^ $1.name.hashValue })
    }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    package init(dictionaryLiteral elements: (ExactString, JSONValue)...) {
        self.init(uniqueMembers: elements)
    }
}
