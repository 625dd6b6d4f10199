import BrokerClient
import FoundationEssentials

/// Claude Code's settings: what is set in them is there afterwards, is all that changed, and they are JSON still.
enum SettingsTarget: FuzzTarget {
    private static let places = [["apiKeyHelper"], ["env", "ANTHROPIC_BASE_URL"]]

    static func run(_ input: [UInt8]) {
        guard let text = String(validating: input, as: UTF8.self), var document = JSONDocument(text) else { return }
        precondition(document.text == text)
        for place in places {
            let before = document
            guard document.set(place, "a \"new\" value") else {
                precondition(document.bytes == before.bytes, "it was changed and refused")
                continue
            }
            precondition(StrictJSON.isObject(document.text), "it is no JSON any more")
            precondition(document.value(place)?.text == "a \"new\" value", "it is not there")
            guard let again = JSONDocument(document.text) else { preconditionFailure("its own text is refused") }
            precondition(again.bytes == document.bytes)
            var reset = document
            precondition(reset.set(place, "another") && reset.set(place, "a \"new\" value"))
            precondition(reset.bytes == document.bytes, "setting it again changes something else")
            precondition(others(before, place) == others(document, place), "another member is not what it was")
        }
    }

    /// Every member but that one.
    private static func others(_ document: JSONDocument, _ place: [String]) -> Data? {
        guard case .object(var members)? = document.value([]) else { return nil }
        if place.count == 1 {
            members[place[0]] = nil
        } else if case .object(var inner)? = members[place[0]] {
            inner[place[1]] = nil
            members[place[0]] = inner.isEmpty ? nil : .object(inner)
        }
        return try? JSON.object(members).encoded()
    }
}
