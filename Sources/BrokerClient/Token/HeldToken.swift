package import FoundationEssentials

/// A gateway token as it is kept, with what there is to know about it.
package struct HeldToken: Sendable, Hashable {
    package let token: TokenText
    /// Space separated.
    package let scope: String
    package let session: String
    /// When it was asked for, by this machine's clock, in milliseconds since 1970.
    package let received: Int64
    /// When it ends, by the same clock: the broker's own does not matter.
    package let end: Int64
    /// The digest of what it was exchanged for, where the key of its entry does not tell that; else empty.
    package let proof: String

    package init(_ issued: IssuedToken, received: Int64, proof: String = "") {
        self.proof = proof
        (token, scope, session) = (issued.token, issued.scope, issued.session)
        self.received = received
        end = received + Int64(issued.lifetime) * 1000
    }

    /// What is left of it; nothing where the clock was set back since it came.
    package func left(at now: Int64) -> Duration {
        received <= now && now < end ? .milliseconds(end - now) : .zero
    }

    /// Tokens for the broker itself are never kept: they open most, and `/verify` has no word on them.
    var mayBeKept: Bool {
        !scope.split(separator: " ").contains { $0.hasPrefix("daypass:") }
    }
}

/// The form of an entry, in JSON.
extension HeldToken {
    private static let version = 1

    package func encoded(_ key: String) throws -> Data {
        try JSON.object([
            "version": .integer(Int64(Self.version)), "key": .string(key), "access_token": .string(token.reveal()),
            "scope": .string(scope), "session_id": .string(session), "received": .integer(received),
            "end": .integer(end), "proof": .string(proof),
        ]).encoded()
    }

    /// - Throws: an `UnusableEntry` where it cannot be used; why.
    package init?(parsing bytes: [UInt8], _ key: String) throws(UnusableEntry) {
        guard let json = try? JSON(parsing: Data(bytes)), case .object = json, let version = json["version"]?.count
        else {
            throw UnusableEntry(words: "is damaged")
        }
        guard version == Self.version else {
            throw UnusableEntry(words: "is of another version of this program (\(version))")
        }
        // Bytes: what is shown alike is another broker or another rule.
        guard let kept = json["key"]?.text, kept.utf8.elementsEqual(key.utf8) else { return nil }
        guard let token = json["access_token"]?.text.flatMap({ TokenText($0) }), let scope = json["scope"]?.text,
            let session = json["session_id"]?.text, let received = json["received"]?.count,
            let end = json["end"]?.count, let proof = json["proof"]?.text, received > 0, end > received,
            end - received <= 86_400_000
        else { throw UnusableEntry(words: "is damaged") }
        (self.token, self.scope, self.session) = (token, scope, session)
        (self.received, self.end, self.proof) = (Int64(received), Int64(end), proof)
    }
}

/// Why an entry, or the whole cache, is not used.
package struct UnusableEntry: Error, Sendable, Hashable {
    package let words: String
}
