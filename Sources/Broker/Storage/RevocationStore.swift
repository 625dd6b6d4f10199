package import FoundationEssentials
package import JOSE

/// Where revocations are kept.
package protocol RevocationStore: Sendable {
    /// Makes them durable, each with its audit record, all or none. One whose number is there already is left as it is,
    /// with no second audit record: what failed may have been kept after all.
    ///
    /// They go before everything else that waits, have no bound in common with it, and may use what is kept in reserve.
    func record(_ revocations: [RecordedRevocation]) async throws(StoreFailure)

    /// All that are kept, by ascending number.
    func revocations() async throws(StoreFailure) -> [Revocation]

    /// The highest number that a revocation or a session was recorded with, deleted ones included.
    func highestRevocation() async throws(StoreFailure) -> UInt64

    /// Deletes those with these numbers.
    func delete(revocations: [UInt64]) async throws(StoreFailure)
}

/// A revocation, and that it was made.
package struct RecordedRevocation: Sendable {
    package let revocation: Revocation
    package let event: AuditEvent

    package init(_ revocation: Revocation, _ event: AuditEvent) {
        self.revocation = revocation
        self.event = event
    }
}

/// Where sessions are looked for by what is kept of them.
package protocol SessionSearch: Sendable {
    /// Those of the sessions that end after `now` whose kept claims fulfil the condition, oldest first, at most `limit`.
    func sessions(where condition: ClaimCondition, at now: Date, limit: Int) async throws(StoreFailure)
        -> [SessionRecord]
}

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
        let value = ExactString(String(text[text.utf8.index(after: separator)...]))
        guard let claim = ClaimPath(parsing: String(text[..<separator])), !value.isEmpty,
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
