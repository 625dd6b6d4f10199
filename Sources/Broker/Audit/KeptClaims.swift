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
        which == .all || isAlwaysKept(name) || read.contains(name)
    }

    /// Which claims that rules of the issuer read are not in the token, so that a record says of each of them what it was:
    /// their names, or `true` where everything that is not kept was not there. Nil where nothing is to be said.
    static func absent(
        from claims: JSONObject, signedBy issuer: IssuerName, rules: RuleSet,
        keeping which: AuditConfiguration.Claims
    ) -> JSONValue? {
        guard which == .matched else { return true }
        let names = rules.claimsRead(of: issuer).filter { claims[$0] == nil && !isAlwaysKept($0) }
        guard !names.isEmpty else { return nil }
        var (listed, room): ([JSONValue], Int) = ([], maximumAbsentLength)
        for name in names.sorted() where name.utf8.count <= room {
            listed.append(.string(name))
            room -= name.utf8.count
        }
        return .array(listed)
    }

    /// Of the names in `absent`, in bytes. Of more it is not known whether they were there.
    static let maximumAbsentLength = 1024

    /// Whether a claim of that name is kept of every token that has it.
    static func isAlwaysKept(_ name: ExactString) -> Bool { always.contains(name) }

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

    /// How many bytes the text had that `value` stands for, where it has the form of what stands for one. It can also be
    /// an object that an issuer made so.
    static func lengthOfText(behind value: JSONValue) -> Int? {
        guard case .object(let object) = value, object.members.count == 2, object["sha256"]?.string != nil,
            let length = object["bytes"]?.number.flatMap({ Int(exactly: $0) }), length > maximumTextLength
        else { return nil }
        return length
    }

    /// What stands for something too long: `{"sha256": …, "bytes": …}`.
    static func digest(of bytes: [UInt8]) -> JSONValue {
        let digest = Base64URL.encode(HashAlgorithm.sha256.digest(bytes))
        return ["sha256": .string(ExactString(digest)), "bytes": .number(Double(bytes.count))]
    }
}
