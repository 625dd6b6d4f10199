package import JOSE
import OpenSSL

/// Which claims of a subject token stay with its session and its audit record.
package enum KeptClaims {
    /// In bytes; a longer text is kept as its digest.
    package static let maximumTextLength = 256

    private static let always: [ExactString] = ["iss", "sub", "aud", "iat", "exp", "jti", "may_act", "act"]

    /// Those of `claims`, which `issuer` signed, that the configuration wants kept: the registered ones, who may act and who
    /// acts, and those that rules of the issuer read, or all of them; long texts by their digests.
    package static func of(
        _ claims: JSONObject, signedBy issuer: IssuerName, rules: RuleSet, keeping which: AuditConfiguration.Claims
    ) -> JSONObject {
        let read = rules.claimsRead(of: issuer)
        var kept = JSONObject()
        for member in claims.members where areKept(member.name, read, which) {
            _ = kept.append(member.name, shortened(member.value))
        }
        return kept
    }

    /// Whether the claim of that name would be kept of a token that `issuer` signed.
    package static func areKept(
        _ name: ExactString, of issuer: IssuerName, rules: RuleSet, keeping which: AuditConfiguration.Claims
    ) -> Bool {
        areKept(name, rules.claimsRead(of: issuer), which)
    }

    private static func areKept(
        _ name: ExactString, _ read: Set<ExactString>, _ which: AuditConfiguration.Claims
    ) -> Bool {
        which == .all || always.contains(name) || read.contains(name)
    }

    /// The value, with each text of more than 256 bytes in it replaced by `{"sha256": …, "bytes": …}`.
    package static func shortened(_ value: JSONValue) -> JSONValue {
        switch value {
        case .string(let text) where text.utf8.count > maximumTextLength: return digest(of: Array(text.utf8))
        case .array(let elements): return .array(elements.map(shortened))
        case .object(let object):
            return .object(JSONObject(uniqueMembers: object.members.map { ($0.name, shortened($0.value)) }))
        default: return value
        }
    }

    /// Whether `kept` is what stands for `text` among kept claims.
    static func isDigest(_ kept: JSONObject, of text: ExactString) -> Bool {
        text.utf8.count > maximumTextLength && .object(kept) == digest(of: Array(text.utf8))
    }

    /// What stands for something too long: `{"sha256": …, "bytes": …}`.
    static func digest(of bytes: [UInt8]) -> JSONValue {
        let digest = Base64URL.encode(HashAlgorithm.sha256.digest(bytes))
        return ["sha256": .string(ExactString(digest)), "bytes": .number(Double(bytes.count))]
    }
}
