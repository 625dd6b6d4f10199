package import JOSE

/// `CLAIM=VALUE`: that a claim, or an element of it where it is an array, has a value. The claim is named as in rules.
package struct ClaimCondition: Sendable, Hashable, CustomStringConvertible {
    package let claim: ClaimPath
    package let value: ExactString
    /// What the value also stands for where the claim is no text: `true`, `false`, or a number.
    private let other: JSONValue?
    private let digest: JSONValue

    /// - Returns: nil without an equals sign, a value, or a name that a claim can have.
    package init?(parsing text: String) {
        guard let separator = text.utf8.firstIndex(of: UInt8(ascii: "=")) else { return nil }
        self.init(
            String(text[..<separator]), is: ExactString(String(text[text.utf8.index(after: separator)...])))
    }

    /// - Returns: nil for a name that no claim can have, and for a value that is empty or too long.
    package init?(_ name: String, is value: ExactString) {
        guard let claim = ClaimPath(parsing: name), !value.isEmpty,
            value.utf8.count <= Revocation.maximumValueLength
        else { return nil }
        self.claim = claim
        self.value = value
        digest = KeptClaims.shortened(.string(value))
        let read = try? JSONReader.readObject(Array("{\"v\":\(value)}".utf8), depth: 1)["v"]
        other =
            switch read {
            case .bool?, .number?: read
            default: nil
            }
    }

    package var description: String { "\(claim)=\(value)" }

    /// Whether claims that were kept of a token fulfil it.
    package func matches(_ kept: JSONObject) -> Bool {
        guard let found = claim.value(in: kept) else { return false }
        return (found.array ?? [found]).contains { $0 == digest || $0 == other }
    }

    /// Bytes that stand in the encoding of all claims that fulfil it; empty where that cannot be said.
    package var needle: [UInt8] {
        if let other, other.encoded() != Array(value.utf8) { return [] }
        switch digest {
        case .string(let text): return Array(JSONValue.string(text).encoded().dropFirst().dropLast())
        default: return []
        }
    }
}
