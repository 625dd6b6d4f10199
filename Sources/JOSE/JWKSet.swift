/// The keys of an issuer (RFC 7517 §5), by key id.
package struct JWKSet: Sendable {
    package static let maximumKeys = 100

    package let keys: [ExactString: JWK]
    /// The entries that are not used, by their place in the set, and why.
    package let ignored: [Ignored]

    package struct Ignored: Sendable, Equatable {
        package let index: Int
        package let reason: JWKFailure
    }

    /// - Throws: when it is no JWK Set, has more than 100 entries, or two usable keys of one id, between which only the
    ///   sender of a token could choose. A set without a usable key is a set: its issuer has withdrawn all keys.
    package init(parsing json: [UInt8]) throws(JWKSetFailure) {
        let document: JSONObject
        do {
            document = try JSONReader.readObject(json)
        } catch {
            throw .json(error)
        }
        guard let entries = document["keys"]?.array else { throw .noKeys }
        guard entries.count <= Self.maximumKeys else { throw .tooManyKeys }
        var keys: [ExactString: JWK] = [:]
        var ignored: [Ignored] = []
        for (index, entry) in entries.enumerated() {
            let key: JWK
            do throws(JWKFailure) {
                guard let members = entry.object else { throw .member("kty") }
                key = try JWK(parsing: members)
            } catch {
                ignored.append(Ignored(index: index, reason: error))
                continue
            }
            guard keys.updateValue(key, forKey: key.keyID) == nil else { throw .duplicateKeyID }
        }
        self.keys = keys
        self.ignored = ignored
    }
}

/// Why a document is not accepted as a JWK Set.
package enum JWKSetFailure: Error, Sendable, Equatable, CustomStringConvertible {
    case json(JSONFailure)
    case noKeys, tooManyKeys, duplicateKeyID

    package var description: String {
        switch self {
        case .json(let failure): "the key set is \(failure)"
        case .noKeys: "the key set has no array `keys`"
        case .tooManyKeys: "the key set has more than \(JWKSet.maximumKeys) keys"
        case .duplicateKeyID: "two usable keys of the set have one kid"
        }
    }
}
