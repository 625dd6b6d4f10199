package import JOSE
import OpenSSL

/// Which claims of a subject token stay with its session and its audit record.
package enum KeptClaims {
    private static let registered: [ExactString] = ["iss", "sub", "aud", "iat", "exp", "jti"]

    /// The claims of `subject` as the configuration wants them kept: the registered ones and those that rules of its
    /// issuer read, or all of them; long values by their digests.
    package static func of(_ subject: VerifiedSubject, rules: RuleSet, keeping claims: AuditConfiguration.Claims)
        -> JSONObject
    {
        let read = rules.claimsRead(of: subject.issuer)
        var kept = JSONObject()
        for member in subject.claims.members
        where claims == .all || registered.contains(member.name) || read.contains(member.name) {
            _ = kept.append(member.name, shortened(member.value))
        }
        return kept
    }

    /// The value, with each text of more than 256 bytes in it replaced by `{"sha256": …, "bytes": …}`.
    package static func shortened(_ value: JSONValue) -> JSONValue {
        switch value {
        case .string(let text) where text.utf8.count > Explanation.maximumValueLength:
            let digest = Base64URL.encode(HashAlgorithm.sha256.digest(Array(text.utf8)))
            return ["sha256": .string(ExactString(digest)), "bytes": .number(Double(text.utf8.count))]
        case .array(let elements): return .array(elements.map(shortened))
        case .object(let object):
            return .object(JSONObject(uniqueMembers: object.members.map { ($0.name, shortened($0.value)) }))
        default: return value
        }
    }
}
