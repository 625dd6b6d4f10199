import JOSE
import OpenSSL
import Testing

/// Keys and sets that an issuer may publish, by mistake or in bad faith.
@Suite struct JWKTests {
    static let ec = Result { try PrivateKey.generate(.ellipticCurve(.p256)) }
    static let rsa = Result { try PrivateKey.generate(.rsa(bits: 2048)) }
    static let ed = Result { try PrivateKey.generate(.ed25519) }

    /// The members of a sound key with some replaced or, by nil, taken out.
    static func members(
        _ key: Result<PrivateKey, any Error>, _ changes: [(ExactString, JSONValue?)] = []
    ) throws -> JSONObject {
        let published = try JWK(keyID: "k1", publicKey: key.get().publicKey, algorithm: nil).json
        let changed = Set(changes.map(\.0))
        var members = JSONObject()
        for member in published.members where !changed.contains(member.name) {
            _ = members.append(member.name, member.value)
        }
        for case (let name, let value?) in changes { _ = members.append(name, value) }
        return members
    }

    static func failure(_ members: JSONObject) -> JWKFailure? {
        do throws(JWKFailure) {
            _ = try JWK(parsing: members)
            return nil
        } catch {
            return error
        }
    }

    static func set(_ keys: [JSONObject]) throws(JWKSetFailure) -> JWKSet {
        try JWKSet(parsing: (["keys": .array(keys.map { .object($0) })] as JSONObject).encoded())
    }

    @Test func `a published key reads back as itself`() throws {
        for key in [Self.ec, Self.rsa, Self.ed] {
            let members = try Self.members(key)
            let read = try JWK(parsing: members)
            #expect(read.keyID == "k1")
            #expect(read.algorithm == nil)
            #expect(read.json == members)
            #expect(JWK.thumbprint(of: read.publicKey) == JWK.thumbprint(of: try key.get().publicKey))
        }
    }

    @Test func `a missing or wrong member is named`() throws {
        for name: ExactString in ["kty", "n", "e", "kid"] {
            for value: JSONValue? in [nil, "", 1, .null, ["x"]] {
                #expect(try Self.failure(Self.members(Self.rsa, [(name, value)])) == .member(name.string))
            }
        }
        for name: ExactString in ["x", "y"] {
            for value: JSONValue? in [nil, "", 1, "AA==", "A", "a b", "\u{E9}"] {
                #expect(try Self.failure(Self.members(Self.ec, [(name, value)])) == .member(name.string))
            }
        }
        #expect(try Self.failure(Self.members(Self.ec, [("crv", nil)])) == .member("crv"))
        #expect(try Self.failure(Self.members(Self.ed, [("x", nil)])) == .member("x"))
    }

    // 27
    @Test func `a key that is symmetric, private or for something else is refused`() throws {
        let oct: JSONObject = ["kty": "oct", "kid": "k1", "k": "", "alg": "HS256"]
        #expect(Self.failure(oct) == .symmetric)
        for name: ExactString in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            for key in [Self.ec, Self.rsa, Self.ed] {
                #expect(try Self.failure(Self.members(key, [(name, "AQAB")])) == .privateKey)
            }
        }
        for use: JSONValue in ["enc", "", "SIG", "tls"] {
            #expect(try Self.failure(Self.members(Self.ec, [("use", use)])) == .notForSignatures)
        }
        #expect(try Self.failure(Self.members(Self.ec, [("use", 1)])) == .member("use"))
        #expect(try Self.failure(Self.members(Self.ec, [("use", nil)])) == nil)
        for operations: JSONValue in [[], ["sign"], ["encrypt", "wrapKey"], ["VERIFY"], [1]] {
            #expect(try Self.failure(Self.members(Self.ec, [("key_ops", operations)])) == .notForSignatures)
        }
        #expect(try Self.failure(Self.members(Self.ec, [("key_ops", "verify")])) == .member("key_ops"))
        #expect(try Self.failure(Self.members(Self.ec, [("key_ops", ["verify", "sign"])])) == nil)
    }

    @Test(arguments: ["P-256K", "secp256k1", "p-256", "P-224", "Ed25519", "X25519", "Ed448"])
    func `a curve that is not the type's is refused`(_ curve: String) throws {
        #expect(try Self.failure(Self.members(Self.ec, [("crv", .string(ExactString(curve)))])) == .curve)
        if curve != "Ed25519" {
            #expect(try Self.failure(Self.members(Self.ed, [("crv", .string(ExactString(curve)))])) == .curve)
        }
    }

    @Test(arguments: ["rsa", "AKP", "ec", "EC "]) func `a type that is unknown is refused`(_ type: String) throws {
        #expect(try Self.failure(Self.members(Self.ec, [("kty", .string(ExactString(type)))])) == .unknownType)
    }

    @Test func `numbers of the wrong size or spelling are refused`() throws {
        let (modulus, _) = try #require(Self.rsa.get().publicKey.rsaNumbers)
        func text(_ bytes: [UInt8]) -> JSONValue { .string(ExactString(Base64URL.encode(bytes))) }
        #expect(try Self.failure(Self.members(Self.rsa, [("n", text([0] + modulus))])) == .key(.length))
        #expect(try Self.failure(Self.members(Self.rsa, [("e", text([0, 1, 0, 1]))])) == .key(.rsaExponent))
        #expect(try Self.failure(Self.members(Self.rsa, [("e", "AQ")])) == .key(.rsaExponent))
        #expect(try Self.failure(Self.members(Self.rsa, [("e", "Aw")])) == .key(.rsaExponent))
        let short = Array(modulus[..<128])
        #expect(try Self.failure(Self.members(Self.rsa, [("n", text(short))])) == .key(.rsaSize(bits: 1024)))
        let (x, y) = try #require(Self.ec.get().publicKey.coordinates)
        // RFC 7518 §6.2.1.2: the full length, neither shorter nor padded.
        for wrong in [[0] + x, Array(x.dropFirst()), x + y] {
            #expect(try Self.failure(Self.members(Self.ec, [("x", text(wrong))])) == .key(.length))
        }
        #expect(try Self.failure(Self.members(Self.ec, [("crv", "P-384")])) == .key(.length))
        let zero = [UInt8](repeating: 0, count: 32)
        #expect(try Self.failure(Self.members(Self.ed, [("x", text(zero))])) == .key(.point))
    }

    // 28
    @Test func `an alg of the key that is not the header's forbids the token`() throws {
        let key = try Self.rsa.get()
        let token = try CompactJWS(Tokens.signed(header: #"{"alg":"RS256","kid":"k1"}"#, by: key, .RS256))
        for algorithm in JWSAlgorithm.allCases {
            let jwk = JWK(keyID: "k1", publicKey: key.publicKey, algorithm: algorithm)
            if algorithm == .RS256 {
                _ = try token.verified(with: jwk)
            } else {
                #expect(throws: JWSFailure.algorithmDoesNotFitKey) { try token.verified(with: jwk) }
            }
        }
        let open = JWK(keyID: "k1", publicKey: key.publicKey, algorithm: nil)
        _ = try token.verified(with: open)
        let other = JWK(keyID: "k1", publicKey: try Self.ec.get().publicKey, algorithm: nil)
        #expect(throws: JWSFailure.algorithmDoesNotFitKey) { try token.verified(with: other) }
    }

    @Test(arguments: ["ES384", "RS256", "HS256", "none", "ES256K", "es256", "RSA-OAEP", ""])
    func `an alg that does not fit the key is refused with the key`(_ name: String) throws {
        #expect(try Self.failure(Self.members(Self.ec, [("alg", .string(ExactString(name)))])) == .algorithm)
    }

    @Test(arguments: [#""""#, #""k\n""#, #""\u0000""#, "7", "\"" + String(repeating: "k", count: 1025) + "\""])
    func `a kid that no token may have is refused`(_ value: String) throws {
        let keyID = try JSONReader.read(Array(value.utf8))
        #expect(try Self.failure(Self.members(Self.ec, [("kid", keyID)])) == .member("kid"))
    }

    // 27
    @Test func `two usable keys of one id make the set unusable, an unusable one does not`() throws {
        let one = try Self.members(Self.ec)
        let two = try Self.members(Self.rsa)
        #expect(throws: JWKSetFailure.duplicateKeyID) { try Self.set([one, two]) }
        #expect(throws: JWKSetFailure.duplicateKeyID) { try Self.set([one, one]) }
        let forEncryption = try Self.members(Self.rsa, [("use", "enc")])
        let set = try Self.set([forEncryption, one])
        #expect(set.keys.count == 1)
        #expect(set.keys["k1"]?.publicKey.type == .ellipticCurve(.p256))
        #expect(set.ignored.map(\.index) == [0])
        #expect(set.ignored.map(\.reason) == [.notForSignatures])
    }

    @Test func `ids that differ in bytes only are two keys`() throws {
        let one = try Self.members(Self.ec, [("kid", "caf\u{E9}")])
        let two = try Self.members(Self.rsa, [("kid", "cafe\u{301}")])
        let set = try Self.set([one, two])
        #expect(set.keys["caf\u{E9}"]?.publicKey.type == .ellipticCurve(.p256))
        #expect(set.keys["cafe\u{301}"]?.publicKey.type == .rsa(bits: 2048))
    }

    @Test func `a set of one hundred keys is read and of one more refused`() throws {
        let keys = try (0..<100).map { number in
            try Self.members(Self.ec, [("kid", .string(ExactString("\(number)")))])
        }
        #expect(try Self.set(keys).keys.count == 100)
        #expect(throws: JWKSetFailure.tooManyKeys) { try Self.set(keys + [["kty": "oct"]]) }
    }

    @Test func `a set without a usable key is a set`() throws {
        #expect(try Self.set([]).keys.isEmpty)
        let set = try JWKSet(parsing: Array(#"{"keys":[1,null,"x",[],{},{"kty":"oct"}],"extra":true}"#.utf8))
        #expect(set.keys.isEmpty)
        #expect(set.ignored.map(\.index) == Array(0..<6))
    }

    @Test(arguments: [#"{}"#, #"{"keys":null}"#, #"{"keys":{}}"#, #"{"keys":"x"}"#, #"{"Keys":[]}"#])
    func `a document without an array of keys is refused`(_ text: String) {
        #expect(throws: JWKSetFailure.noKeys) { try JWKSet(parsing: Array(text.utf8)) }
    }

    @Test(arguments: [
        "", "[]", "<html>", #"{"keys":[]}x"#, #"{"keys":[],"keys":[]}"#,
        "{\"keys\":" + String(repeating: "[", count: 100_000),
    ]) func `what is no strict JSON object is no set`(_ text: String) {
        #expect {
            try JWKSet(parsing: Array(text.utf8))
        } throws: {
            if case .json = $0 as? JWKSetFailure { true } else { false }
        }
    }
}
