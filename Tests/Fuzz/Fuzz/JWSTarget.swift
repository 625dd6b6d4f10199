import JOSE
import OpenSSL

/// Tokens: whatever parses has one spelling, and nothing verifies under keys that were made a moment ago.
enum JWSTarget: FuzzTarget {
    private static let keys: [JWK] = [KeyType.ellipticCurve(.p256), .ed25519, .rsa(bits: 2048)].compactMap {
        guard let key = try? PrivateKey.generate($0) else { return nil }
        return JWK(keyID: "k", publicKey: key.publicKey, algorithm: nil)
    }

    static func run(_ input: [UInt8]) {
        guard let jws = try? CompactJWS(parsing: input) else { return }
        let segments = input.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        precondition(segments.count == 3 && segments.allSatisfy { !$0.isEmpty }, "not three segments")
        precondition(Array(Base64URL.encode(jws.payload).utf8) == Array(segments[1]), "a payload with two spellings")
        precondition(jws.header.keyID.map { !$0.isEmpty && !$0.hasControlCharacters } ?? true, "an odd kid")
        precondition(keys.count == 3)
        for key in keys {
            precondition((try? jws.verified(with: key)) == nil, "a forged signature verifies")
        }
    }
}
