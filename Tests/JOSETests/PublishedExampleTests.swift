import Foundation
import JOSE
import OpenSSL
import Testing
import VectorFiles

/// The examples of RFC 7515, 7638, 8037, 8705 and 9449, the whole file.
@Suite struct RFCExampleTests {
    static let file = "rfc-examples/rfc-examples.json"

    /// nil where we accept the token.
    static let expected: [String: JWSFailure?] = [
        "RFC7515-A.1": .algorithm,  // HS256: by design no symmetric algorithm
        "RFC7515-A.2": nil,
        "RFC7515-A.3": nil,
        "RFC7515-A.5": .algorithm,
        "RFC7515-E": .forbiddenHeader("crit"),
        "RFC8037-A.4": nil,
        "RFC9449-Fig2": nil,
        "RFC9449-Fig13": nil,
    ]

    @Test func `every signed example verifies, but for HS256, none and crit`() throws {
        let examples = try #require(JSONFile.object(Self.file)["jws"] as? [[String: Any]])
        var verified = 0
        for example in examples {
            let id = try #require(example["id"] as? String)
            let token = try #require(example["jws"] as? String)
            if let failure = try #require(Self.expected[id]) {
                #expect(throws: failure, "\(id)") { try CompactJWS(token) }
                continue
            }
            let key = try JSONFile.publicJWK(#require(example["jwk"] as? [String: Any]))
            let jws = try CompactJWS(token)
            let payload = try jws.verified(with: key).payload
            #expect(Base64URL.encode(payload) == token.split(separator: ".")[1])
            let altered = token.replacing(".", with: ".AAAA", maxReplacements: 1)
            #expect(throws: JWSFailure.signature, "\(id)") { try CompactJWS(altered).verified(with: key) }
            verified += 1
        }
        #expect(examples.count == 8)
        #expect(verified == 5)
    }

    @Test func `every thumbprint is the published one`() throws {
        let examples = try #require(JSONFile.object(Self.file)["jwk_thumbprints"] as? [[String: Any]])
        for example in examples {
            let key = try JSONFile.publicJWK(#require(example["jwk"] as? [String: Any]))
            #expect(JWK.thumbprint(of: key.publicKey).string == example["sha256_thumbprint"] as? String)
        }
        #expect(examples.count == 3)
    }

    @Test func `the certificate and access token hashes are the published ones`() throws {
        let file = try JSONFile.object(Self.file)
        let mtls = try #require(file["mtls_rfc8705_appendix_a"] as? [String: String])
        let pem = try #require(mtls["certificate_pem"])
        let der = try #require(Data(base64Encoded: pem.split(separator: "\n").dropFirst().dropLast().joined()))
        #expect(Base64URL.encode(HashAlgorithm.sha256.digest([UInt8](der))) == mtls["x5t#S256"])
        let dpop = try #require(file["dpop_ath_rfc9449_4.2"] as? [String: String])
        let token = try #require(dpop["access_token"])
        #expect(Base64URL.encode(HashAlgorithm.sha256.digest(Array(token.utf8))) == dpop["ath"])
    }
}

/// RFC 7520, RFC 8037 and RFC 7797 as the JOSE cookbook has them, every file of its three folders that has a JWS, a JWK or
/// a JWE; nothing in them is skipped.
@Suite struct CookbookTests {
    struct Example: Sendable, CustomTestStringConvertible {
        let file: String
        /// Why the compact form is refused; nil where it is accepted or there is none.
        var failure: JWSFailure?
        var hasCompactForm = true
        let jsonForms: Int

        var testDescription: String { file }
    }

    static let examples = [
        Example(file: "jws/4_1.rsa_v15_signature", jsonForms: 2),
        Example(file: "jws/4_2.rsa-pss_signature", jsonForms: 2),
        Example(file: "jws/4_3.ecdsa_signature", jsonForms: 2),
        Example(file: "curve25519/jws", jsonForms: 2),
        // Symmetric, and the next one detached beside that.
        Example(file: "jws/4_4.hmac-sha2_integrity_protection", failure: .algorithm, jsonForms: 2),
        Example(file: "jws/4_5.signature_with_detached_content", failure: .algorithm, jsonForms: 2),
        Example(file: "jws/4_6.protecting_specific_header_fields", hasCompactForm: false, jsonForms: 2),
        Example(file: "jws/4_7.protecting_content_only", hasCompactForm: false, jsonForms: 2),
        Example(file: "jws/4_8.multiple_signatures", hasCompactForm: false, jsonForms: 1),
        Example(file: "rfc7797/4.2.hmac-sha2_b64_false", hasCompactForm: false, jsonForms: 2),
        Example(file: "rfc7797/hmac-sha2_b64_false", failure: .forbiddenHeader("crit"), jsonForms: 2),
        // A JWE: five segments.
        Example(file: "curve25519/ecdh-es", failure: .segments, jsonForms: 2),
    ]

    @Test(arguments: examples) func `a compact asymmetric JWS verifies and every other form is refused`(
        _ example: Example
    ) throws {
        let file = try JSONFile.object("jose-cookbook/\(example.file).json")
        let output = try #require(file["output"] as? [String: Any])
        let compact = output["compact"] as? String
        #expect((compact != nil) == example.hasCompactForm)
        if let compact {
            if let failure = example.failure {
                #expect(throws: failure) { try CompactJWS(compact) }
            } else {
                let input = try #require(file["input"] as? [String: Any])
                let key = try JSONFile.publicJWK(#require(input["key"] as? [String: Any]))
                let payload = try CompactJWS(compact).verified(with: key).payload
                #expect(String(decoding: payload, as: UTF8.self) == input["payload"] as? String)
            }
        }
        var jsonForms = 0
        for case let form? in [output["json"], output["json_flat"]] {
            #expect(throws: JWSFailure.self) { try CompactJWS(parsing: JSONFile.bytes(form)) }
            jsonForms += 1
        }
        #expect(jsonForms == example.jsonForms)
    }

    @Test func `the table above names every example, and the keys are the only other files`() throws {
        let folder = VectorFiles.folder.appending(path: "jose-cookbook")
        let found = try ["jws", "rfc7797", "curve25519"].flatMap { name in
            try FileManager.default.contentsOfDirectory(atPath: folder.appending(path: name).path)
                .filter { $0.hasSuffix(".json") }.map { name + "/" + $0.dropLast(5) }
        }
        #expect(found.sorted() == Self.examples.map(\.file).sorted())
        let keys = try FileManager.default.contentsOfDirectory(atPath: folder.appending(path: "jwk").path)
        #expect(keys.sorted() == Self.keys.map { $0.file + ".json" }.sorted())
    }

    static let keys: [(file: String, failure: JWKFailure?)] = [
        ("3_1.ec_public_key", nil),
        ("3_2.ec_private_key", .privateKey),
        ("3_3.rsa_public_key", nil),
        ("3_4.rsa_private_key", .privateKey),
        ("3_5.symmetric_key_mac_computation", .symmetric),
        ("3_6.symmetric_key_encryption", .notForSignatures),
    ]

    @Test(arguments: keys) func `only the public keys of the cookbook are usable`(
        file: String, failure: JWKFailure?
    ) throws {
        let members = try JSONReader.readObject([UInt8](VectorFiles.data("jose-cookbook/jwk/\(file).json")))
        if let failure {
            #expect(throws: failure) { try JWK(parsing: members) }
        } else {
            let key = try JWK(parsing: members)
            #expect(key.keyID == "bilbo.baggins@hobbiton.example")
            // The parts come back out as they went in.
            for (name, value) in JWK.publicMembers(of: key.publicKey).members { #expect(members[name] == value) }
        }
    }

    @Test func `the Ed25519 example comes out of its seed to the byte`() throws {
        let file = try JSONFile.object("jose-cookbook/curve25519/jws.json")
        let input = try #require(file["input"] as? [String: Any])
        let key = try #require(input["key"] as? [String: String])
        let d = try #require(key["d"])
        let seed = try Base64URL.decode(ExactString(d))
        let signing = try #require(file["signing"] as? [String: Any])
        let message = try Array(#require(signing["sig-input"] as? String).utf8)
        let privateKey = try PrivateKey(ed25519: seed.span)
        let signature = try privateKey.signature(over: message.span, scheme: .ed25519)
        #expect(Base64URL.encode(signature) == signing["sig"] as? String)
    }

    @Test func `the private P-521 key signs for its public half`() throws {
        let members = try JSONReader.readObject(
            [UInt8](VectorFiles.data("jose-cookbook/jwk/3_2.ec_private_key.json")))
        func bytes(_ name: ExactString) throws -> [UInt8] {
            let text = try #require(members[name]?.string)
            return try Base64URL.decode(text)
        }
        let (x, y, scalar) = try (bytes("x"), bytes("y"), bytes("d"))
        let key = try PrivateKey(curve: .p521, x: x, y: y, scalar: scalar.span)
        let signer = JWSSigner(key: key, keyID: "bilbo", algorithm: .ES512, type: "JWT")
        let published = try JWK(
            parsing: JSONReader.readObject([UInt8](VectorFiles.data("jose-cookbook/jwk/3_1.ec_public_key.json"))))
        let token = try signer.sign(Array("Frodo".utf8))
        let verified = try CompactJWS(token).verified(with: published)
        #expect(verified.payload == Array("Frodo".utf8))
        #expect(verified.header.keyID == "bilbo")
        #expect(verified.header.type == "JWT")
    }
}
