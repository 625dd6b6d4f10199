import JOSE
import OpenSSL

extension TrustBundle {
    /// A bundle in SPIFFE's own format, a JWK Set (SPIFFE Trust Domain and Bundle §4). The text does not say whose it is:
    /// that is configured.
    package init(parsing json: [UInt8], of trustDomain: TrustDomain) throws(TrustBundleFailure) {
        guard json.count <= Self.maximumLength else { throw .tooLong }
        let document: JSONObject
        do {
            document = try JSONReader.readObject(json, largeIntegers: .asText)
        } catch {
            throw .json(error)
        }
        try self.init(document, of: trustDomain)
    }

    init(_ document: JSONObject, of trustDomain: TrustDomain) throws(TrustBundleFailure) {
        guard let keys = document["keys"]?.array else { throw .noKeys }
        guard keys.count <= Self.maximumEntries else { throw .tooManyEntries }
        var entries: [Entry] = []
        var ignored: [Ignored] = []
        for (index, key) in keys.enumerated() {
            do throws(BundleEntryFailure) {
                entries.append(try Entry(key))
            } catch {
                ignored.append(Ignored(index: index, reason: error))
            }
        }
        try self.init(
            trustDomain: trustDomain, entries: entries, sequence: Self.sequence(of: document),
            refreshHint: Self.refreshHint(of: document), ignored: ignored)
    }

    private static func sequence(of document: JSONObject) throws(TrustBundleFailure) -> UInt64? {
        switch document["spiffe_sequence"] {
        case nil: return nil
        case .number(let number):
            guard let sequence = UInt64(exactly: number) else { throw .sequence }
            return sequence
        // What a Double does not hold exactly, as it stands in the text.
        case .string(let digits):
            guard let sequence = UInt64(digits.string), sequence > 1 << 53 else { throw .sequence }
            return sequence
        default: throw .sequence
        }
    }

    /// It is a hint: one that says nothing useful is none.
    private static func refreshHint(of document: JSONObject) -> Duration? {
        guard let number = document["spiffe_refresh_hint"]?.number, let seconds = Int64(exactly: number), seconds > 0
        else { return nil }
        return .seconds(seconds)
    }
}

extension TrustBundle.Entry {
    fileprivate init(_ value: JSONValue) throws(BundleEntryFailure) {
        guard let members = value.object, let type = members["kty"]?.string, ["RSA", "EC", "OKP"].contains(type) else {
            throw .type
        }
        switch members["use"]?.string {
        case "x509-svid": self = .authority(try Self.authority(members))
        case "jwt-svid": self = .jwtKey(try Self.jwtKey(members))
        default: throw .use
        }
    }

    /// X509-SVID §6.2: of several certificates only the first counts.
    private static func authority(_ members: JSONObject) throws(BundleEntryFailure) -> Certificate {
        guard let first = members["x5c"]?.array?.first else { throw .noCertificate }
        guard let text = first.string, let der = Base64.decode(Array(text.utf8)) else { throw .base64 }
        let certificate: Certificate
        do {
            certificate = try Certificate(der: der)
        } catch {
            throw .certificate(error)
        }
        do {
            try SigningCertificateRules.check(certificate)
        } catch {
            throw .rule(error)
        }
        // RFC 7517 §4.7: the key of the first certificate has to be the one that the entry spells out, where it does.
        guard keyMembers.contains(where: { members[$0] != nil }) else { return certificate }
        let key = try jwk(members, keyID: "-")
        guard JWK.thumbprint(of: key.publicKey) == JWK.thumbprint(of: certificate.publicKey) else { throw .otherKey }
        return certificate
    }

    /// JWT-SVID §6.1: `kid` is required, and an Ed25519 key fits none of the algorithms of §2.1.
    private static func jwtKey(_ members: JSONObject) throws(BundleEntryFailure) -> JWK {
        guard let keyID = members["kid"]?.string else { throw .jwk(.member("kid")) }
        let key = try jwk(members, keyID: keyID)
        guard key.publicKey.type != .ed25519 else { throw .jwk(.algorithm) }
        return key
    }

    private static let keyMembers: [ExactString] = ["crv", "e", "n", "x", "y"]

    /// The key that the members spell, whose `use` was looked at already.
    private static func jwk(_ members: JSONObject, keyID: ExactString) throws(BundleEntryFailure) -> JWK {
        var copy: JSONObject = ["kid": .string(keyID)]
        for (name, value) in members.members where name != "use" && name != "kid" { _ = copy.append(name, value) }
        do {
            return try JWK(parsing: copy)
        } catch {
            throw .jwk(error)
        }
    }
}

/// Base64 (RFC 4648 §4) with its padding and nothing else in it, in its one canonical spelling.
package enum Base64 {
    package static func decode(_ text: [UInt8]) -> [UInt8]? {
        guard text.count % 4 == 0 else { return nil }
        let padding = text.suffix(2).reversed().prefix { $0 == UInt8(ascii: "=") }.count
        let digits = text.dropLast(padding).map { byte in
            switch byte {
            case UInt8(ascii: "+"): UInt8(ascii: "-")
            case UInt8(ascii: "/"): UInt8(ascii: "_")
            case UInt8(ascii: "-"), UInt8(ascii: "_"): UInt8(ascii: "!")
            default: byte
            }
        }
        return try? Base64URL.decode(digits[...])
    }
}
