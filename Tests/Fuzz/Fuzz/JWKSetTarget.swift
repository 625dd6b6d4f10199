import JOSE

/// Key sets: a key that is accepted can be published again and is the same key then.
enum JWKSetTarget: FuzzTarget {
    static func run(_ input: [UInt8]) {
        guard let set = try? JWKSet(parsing: input) else { return }
        precondition(set.keys.count + set.ignored.count <= JWKSet.maximumKeys, "too many keys")
        for (keyID, key) in set.keys {
            precondition(key.keyID == keyID)
            guard let copy = try? JWK(parsing: key.json) else { preconditionFailure("a published key is refused") }
            precondition(copy.json == key.json, "a published key is another")
            precondition(JWK.thumbprint(of: copy.publicKey) == JWK.thumbprint(of: key.publicKey))
            precondition(JWSAlgorithm.allCases.contains(where: key.permits), "a key is of no use")
        }
        for entry in set.ignored { precondition(!"\(entry.reason)".isEmpty) }
    }
}
