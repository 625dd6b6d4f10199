import JOSE
import OpenSSL
import Testing

/// What has gone wrong in other verifiers, as far as the form of a token and its signature go.
@Suite struct CompactJWSTests {
    let key: PrivateKey
    let jwk: JWK
    let token: String

    init() throws {
        key = try PrivateKey.generate(.ellipticCurve(.p256))
        jwk = JWK(keyID: "k1", publicKey: key.publicKey, algorithm: nil)
        token = try Tokens.signed(header: #"{"alg":"ES256","kid":"k1","typ":"JWT"}"#, by: key)
    }

    static func failure(_ token: String) -> JWSFailure? {
        do throws(JWSFailure) {
            _ = try CompactJWS(token)
            return nil
        } catch {
            return error
        }
    }

    @Test func `a sound token verifies and its verified form says what was signed`() throws {
        let verified = try CompactJWS(token).verified(with: jwk)
        #expect(verified.header.algorithm == .ES256)
        #expect(verified.header.keyID == "k1")
        #expect(verified.header.type == "JWT")
        #expect(verified.payload == Array(#"{"sub":"x"}"#.utf8))
        let input = token.split(separator: ".").prefix(2).joined(separator: ".")
        #expect(verified.signingInputDigest == HashAlgorithm.sha256.digest(Array(input.utf8)))
    }

    // 1
    @Test(arguments: [
        "none", "None", "NONE", "nOnE", "", "rs256", "es256", "ES256 ", " ES256", "ES256K", "ES256\\u0000", "HS256",
        "HS384",
        "HS512", "dir", "A128KW", "PBES2-HS256+A128KW", "RSA-OAEP", "RSA1_5", "ECDH-ES", "RS1", "EdDSA448", "Ed448",
    ]) func `an alg that is none, symmetric, for encryption or unknown is refused with any signature`(
        _ name: String
    ) throws {
        let header = #"{"alg":"\#(name)","kid":"k1"}"#
        #expect(try Self.failure(Tokens.signed(header: header, by: key)) == .algorithm)
        let unsigned = Tokens.base64url(header) + "." + Tokens.base64url("{}") + "."
        #expect(Self.failure(unsigned) == .algorithm)
    }

    @Test(arguments: [
        "{}", #"{"alg":null}"#, #"{"alg":["ES256"]}"#, #"{"alg":1}"#, #"{"alg":{}}"#, #"{"ALG":"ES256"}"#,
    ])
    func `an alg that is missing or no text is refused`(_ header: String) throws {
        #expect(try Self.failure(Tokens.signed(header: header, by: key)) == .algorithm)
    }

    // 2
    @Test func `no spelling of a public key serves as an HMAC secret`() throws {
        let der = try #require(key.publicKey.coordinates)
        let pem = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n"
        let secrets: [[UInt8]] = [
            der.x + der.y, [4] + der.x + der.y, jwk.json.encoded(), Array(pem.utf8), Array((" " + pem).utf8), [],
        ]
        for secret in secrets {
            for header in [#"{"alg":"HS256","kid":"k1"}"#, #"{"alg":"ES256","kid":"k1"}"#] {
                let input = Tokens.base64url(header) + "." + Tokens.base64url("{}")
                let mac = Tokens.hmac(Array(input.utf8), secret: secret)
                for signature in [mac, mac + mac] {
                    #expect(throws: JWSFailure.self) {
                        try CompactJWS(input + "." + Base64URL.encode(signature)).verified(with: jwk)
                    }
                }
            }
        }
    }

    // 3
    @Test func `an r or s of zero, the order or all ones is refused`() throws {
        let order: [UInt8] = [
            0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
            0xBC, 0xE6, 0xFA, 0xAD, 0xA7, 0x17, 0x9E, 0x84, 0xF3, 0xB9, 0xCA, 0xC2, 0xFC, 0x63, 0x25, 0x51,
        ]
        let parts = token.split(separator: ".")
        let genuine = try Base64URL.decode(ExactString(String(parts[2])))
        let halves = [
            [UInt8](repeating: 0, count: 32), [UInt8](repeating: 0, count: 31) + [1], order,
            [UInt8](repeating: 0xFF, count: 32), Array(genuine[..<32]), Array(genuine[32...]),
        ]
        for r in halves {
            for s in halves where r + s != genuine {
                let forged = "\(parts[0]).\(parts[1])." + Base64URL.encode(r + s)
                #expect(throws: JWSFailure.signature) { try CompactJWS(forged).verified(with: jwk) }
            }
        }
    }

    // 4
    @Test(arguments: ["jwk", "x5c", "jku", "x5u", "x5t", "epk"])
    func `a key that comes with the token is never used`(_ member: String) throws {
        let attacker = try PrivateKey.generate(.ellipticCurve(.p256))
        let embedded: JSONValue =
            switch member {
            case "jwk", "epk": .object(JWK.publicMembers(of: attacker.publicKey))
            case "x5c": ["MIIB"]
            default: "file:///dev/zero"
            }
        var header: JSONObject = ["alg": "ES256", "kid": "k1"]
        _ = header.append(ExactString(member), embedded)
        let text = String(decoding: header.encoded(), as: UTF8.self)
        let forged = try Tokens.signed(header: text, by: attacker)
        #expect(throws: JWSFailure.signature) { try CompactJWS(forged).verified(with: jwk) }
        // Nor does it disturb a token of the right key.
        _ = try CompactJWS(Tokens.signed(header: text, by: key)).verified(with: jwk)
    }

    // 5
    @Test(arguments: ["../../dev/null", "' OR 1=1 --", "http://127.0.0.1/", "K1", "k1 ", "k\u{131}", "k1k1"])
    func `a kid is looked up to the byte and nowhere else`(_ keyID: String) throws {
        let set = try JWKSet(parsing: (["keys": [.object(jwk.json)]] as JSONObject).encoded())
        let token = try Tokens.signed(header: #"{"alg":"ES256","kid":"\#(keyID)"}"#, by: key)
        let named = try #require(CompactJWS(token).header.keyID)
        #expect(named == ExactString(keyID))
        #expect(set.keys[named] == nil)
        #expect(set.keys["k1"] != nil)
    }

    @Test(arguments: [
        #""""#, #""k\u0000""#, #""k\n""#, #""\u007f""#, "1", "null", "[]", #"["k1"]"#, "{}", "true",
        "\"" + String(repeating: "k", count: 1025) + "\"",
    ]) func `a kid or typ that is no text, empty, overlong or with control characters is refused`(
        _ value: String
    ) throws {
        let kid = #"{"alg":"ES256","kid":\#(value)}"#
        #expect(try Self.failure(Tokens.signed(header: kid, by: key)) == .forbiddenHeader("kid"))
        let typ = #"{"alg":"ES256","kid":"k1","typ":\#(value)}"#
        #expect(try Self.failure(Tokens.signed(header: typ, by: key)) == .forbiddenHeader("typ"))
    }

    // 7, 17
    @Test(arguments: [
        (#""crit":["x"]"#, "crit"), (#""crit":[]"#, "crit"), (#""crit":"x""#, "crit"), (#""crit":["alg"]"#, "crit"),
        (#""crit":null"#, "crit"), (#""crit":["b64"],"b64":false"#, "crit"), (#""\u0063rit":["exp"]"#, "crit"),
        (#""b64":false"#, "b64"), (#""b64":true"#, "b64"), (#""zip":"DEF""#, "zip"), (#""zip":null"#, "zip"),
    ]) func `crit, b64 and zip are refused whatever they say`(_ member: String, _ name: String) throws {
        let header = #"{"alg":"ES256","kid":"k1",\#(member)}"#
        #expect(try Self.failure(Tokens.signed(header: header, by: key)) == .forbiddenHeader(name))
    }

    // 8
    @Test(arguments: [
        #"{"alg":"none","alg":"ES256"}"#, #"{"alg":"ES256","\u0061lg":"ES256"}"#,
        #"{"alg":"ES256","kid":"a","kid":"k1"}"#,
        #"{"alg":"ES256","x":{"a":1,"a":2}}"#,
    ]) func `a header with a member twice is refused`(_ header: String) throws {
        guard case .headerJSON(let failure) = try Self.failure(Tokens.signed(header: header, by: key)) else {
            throw JWSFailure.signature
        }
        #expect(failure.reason == .duplicateMember)
    }

    // 9
    @Test func `a token inside of JSON, in JSON serialisation or with anything around it is refused`() throws {
        let parts = token.split(separator: ".").map(String.init)
        let wholes = [
            #"{"payload":"\#(parts[1])","protected":"\#(parts[0])","signature":"\#(parts[2])"}"#,
            #"{"  \#(token)"}"#, #"{"\#(parts[0])":"\#(parts[1])"}.\#(parts[1]).\#(parts[2])"#,
            "\"\(token)\"", " \(token)", "\(token) ", "\(token)\n", "\(token)\0", "\u{FEFF}\(token)",
            "\(token),\(token)",
            "Bearer \(token)", "\(token)#", "\(token)%00", "\(token)=", token.replacing(".", with: "%2E"),
        ]
        for whole in wholes { #expect(throws: JWSFailure.self, "\(whole)") { try CompactJWS(whole) } }
    }

    // 10
    @Test func `no other spelling of a token is the same token`() throws {
        let bytes = Array(token.utf8)
        let set = [UInt8]("AB_-9z.=+/ \n".utf8) + [0, 0x80]
        for place in bytes.indices {
            for replacement in set + [bytes[place] ^ 1, bytes[place] ^ 0x20] where replacement != bytes[place] {
                var other = bytes
                other[place] = replacement
                #expect(throws: JWSFailure.self, "byte \(place)") {
                    try CompactJWS(parsing: other).verified(with: jwk)
                }
            }
            var shorter = bytes
            shorter.remove(at: place)
            #expect(throws: JWSFailure.self) { try CompactJWS(parsing: shorter).verified(with: jwk) }
            for inserted in set {
                var longer = bytes
                longer.insert(inserted, at: place)
                #expect(throws: JWSFailure.self) { try CompactJWS(parsing: longer).verified(with: jwk) }
            }
        }
    }

    @Test func `the signature has no part in what identifies a token`() throws {
        let header = #"{"alg":"ES256","kid":"k1"}"#
        let tokens = try (0..<2).map { _ in try Tokens.signed(header: header, by: key) }
        #expect(tokens[0] != tokens[1])
        let digests = try tokens.map { try CompactJWS($0).verified(with: jwk).signingInputDigest }
        #expect(digests[0] == digests[1])
    }

    // 14
    @Test func `a signature that is missing, short or long is refused`() throws {
        let parts = token.split(separator: ".").map(String.init)
        let genuine = try Base64URL.decode(ExactString(parts[2]))
        #expect(Self.failure("\(parts[0]).\(parts[1]).") == .segments)
        for signature in [[0], Array(genuine.dropLast()), genuine + [0], [0] + genuine, genuine + genuine] as [[UInt8]]
        {
            let forged = "\(parts[0]).\(parts[1])." + Base64URL.encode(signature)
            #expect(throws: JWSFailure.signature) { try CompactJWS(forged).verified(with: jwk) }
        }
    }

    // 15
    @Test(arguments: ["JWT", "jwt", "Jwt"]) func `a nested token is refused`(_ contentType: String) throws {
        let header = #"{"alg":"ES256","kid":"k1","cty":"\#(contentType)"}"#
        #expect(try Self.failure(Tokens.signed(header: header, by: key)) == .forbiddenHeader("cty"))
    }

    @Test(arguments: [
        "", ".", "..", "...", "a", "a.b", "a.b.c.d", "a.b.c.d.e", "e30..e30", ".e30.e30", "e30.e30.", "....",
    ])
    func `anything but three segments is refused before their content counts`(_ text: String) {
        let failure = Self.failure(text)
        #expect(failure == .segments || failure == .base64url || failure == .algorithm)
        if text.count(where: { $0 == "." }) != 2 { #expect(failure == .segments) }
    }

    // 16
    @Test func `a key derivation of many rounds is refused unseen`() throws {
        let header = #"{"alg":"PBES2-HS512+A256KW","enc":"A256GCM","p2c":2147483648,"p2s":"AAAA"}"#
        #expect(Self.failure(Tokens.base64url(header) + ".AAAA.AAAA") == .algorithm)
        #expect(Self.failure(Tokens.base64url(header) + ".AAAA.AAAA.AAAA.AAAA") == .segments)
    }

    // 18
    @Test func `a token beyond 16 KiB is refused unread, whatever it is made of`() throws {
        let dots = [UInt8](repeating: UInt8(ascii: "."), count: 10 << 20)
        #expect(throws: JWSFailure.tooLong) { try CompactJWS(parsing: dots) }
        #expect(throws: JWSFailure.segments) { try CompactJWS(parsing: Array(dots[..<16384])) }
        #expect(throws: JWSFailure.tooLong) { try CompactJWS(parsing: Array(token.utf8) + dots) }
        let letters = [UInt8](repeating: UInt8(ascii: "A"), count: 10 << 20)
        #expect(throws: JWSFailure.tooLong) { try CompactJWS(parsing: letters) }
        #expect(throws: JWSFailure.segments) { try CompactJWS(parsing: Array(letters[..<16384])) }
    }

    @Test func `a token of exactly 16 KiB is read and one byte more is not`() throws {
        func token(payload: Int) throws -> [UInt8] {
            let text = String(repeating: "x", count: payload)
            return try Array(Tokens.signed(header: #"{"alg":"ES256","kid":"k"}"#, payload: text, by: key).utf8)
        }
        var payload = 12_000
        while try token(payload: payload).count < 16_384 { payload += 1 }
        let largest = try token(payload: payload)
        #expect(largest.count == 16_384)
        _ = try CompactJWS(parsing: largest).verified(with: jwk)
        #expect(try throwsTooLong(token(payload: payload + 1)))
    }

    private func throwsTooLong(_ token: [UInt8]) -> Bool {
        Self.failure(String(decoding: token, as: UTF8.self)) == .tooLong
    }

    // 19, 20
    @Test(arguments: [
        "", " ", "null", "[]", "\"alg\"", "{", "{\"alg\":\"ES256\"", "\u{FEFF}{\"alg\":\"ES256\"}",
        "{\"alg\":\"ES256\"}x",
        "{\"alg\":\"ES256\"}\0", "{'alg':'ES256'}", "{\"alg\":\"ES256\",\"x\":" + String(repeating: "[", count: 9_000),
        "{\"alg\":\"ES256\",\"x\":1e400}", "{\"alg\":\"ES256\",\"x\":\"\\ud800\"}",
    ]) func `a header that is no strict JSON object is refused`(_ header: String) {
        let failure = Self.failure(Tokens.base64url(header) + ".e30.AAAA")
        if header.isEmpty {
            #expect(failure == .segments)
        } else if case .headerJSON = failure {
        } else {
            Issue.record("\(header.prefix(40)): \(failure.map { "\($0)" } ?? "accepted")")
        }
    }

    @Test func `no failure quotes the token`() throws {
        for text in ["hunter2", "hunter2.hunter2.hunter2", Tokens.base64url(#"{"alg":"hunter2"}"#) + ".e30.AAAA"] {
            let failure = try #require(Self.failure(text))
            #expect(!"\(failure)".contains("hunter2"))
        }
    }
}
