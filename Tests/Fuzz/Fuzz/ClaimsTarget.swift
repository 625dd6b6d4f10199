import JOSE

/// Claims: what is read can be written, and means and looks the same from then on.
enum ClaimsTarget: FuzzTarget {
    static func run(_ input: [UInt8]) {
        let value: JSONValue
        do {
            value = try JSONReader.read(input)
        } catch {
            precondition((0...input.count).contains(error.offset), "a failure lies outside of the text")
            return
        }
        check(value, depth: JSONReader.defaultDepth)
        let encoded = value.encoded()
        guard let again = try? JSONReader.read(encoded) else { preconditionFailure("what was written cannot be read") }
        precondition(again == value, "what was written means something else")
        precondition(again.hashValue == value.hashValue, "equal values hash differently")
        precondition(again.encoded() == encoded, "a value is written in two ways")
    }

    private static func check(_ value: JSONValue, depth: Int) {
        switch value {
        case .null, .bool: break
        case .number(let number): precondition(number.magnitude <= 0x1p53, "a number is out of bounds")
        case .string(let text):
            precondition(ExactString(validating: Array(text.utf8)[...]) == text, "a string is not UTF-8")
        case .array(let array):
            precondition(depth > 0, "nested too deep")
            for element in array { check(element, depth: depth - 1) }
        case .object(let object):
            precondition(depth > 0, "nested too deep")
            precondition(Set(object.members.map(\.name)).count == object.members.count, "a member stands twice")
            for member in object.members {
                precondition(object[member.name] == member.value, "a member is not found")
                check(member.value, depth: depth - 1)
            }
        }
    }
}
