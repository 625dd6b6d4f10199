import JOSE
import OpenSSL
import Testing

@Suite struct JWSSignerTests {
    @Test(arguments: JWSAlgorithm.allCases) func `a signed token verifies with the public half alone`(
        _ algorithm: JWSAlgorithm
    ) throws {
        let type: KeyType =
            switch algorithm {
            case .RS256, .RS384, .RS512, .PS256, .PS384, .PS512: .rsa(bits: 2048)
            case .ES256: .ellipticCurve(.p256)
            case .ES384: .ellipticCurve(.p384)
            case .ES512: .ellipticCurve(.p521)
            case .EdDSA: .ed25519
            }
        let key = try PrivateKey.generate(type)
        let keyID = JWK.thumbprint(of: key.publicKey)
        let signer = JWSSigner(key: key, keyID: keyID, algorithm: algorithm, type: "at+jwt")
        let payload = Array(#"{"sub":"github:caf\#u{E9}"}"#.utf8)
        let jws = try CompactJWS(signer.sign(payload))
        #expect(jws.header.algorithm == algorithm)
        #expect(jws.header.keyID == keyID)
        #expect(jws.header.type == "at+jwt")
        let published = try JWK(
            parsing: JWK(keyID: keyID, publicKey: key.publicKey, algorithm: algorithm).json)
        #expect(try jws.verified(with: published).payload == payload)
        let stranger = try JWK(keyID: keyID, publicKey: PrivateKey.generate(type).publicKey, algorithm: algorithm)
        #expect(throws: JWSFailure.signature) { try jws.verified(with: stranger) }
    }

    @Test func `a key id is written so that it reads the same, quotes and all`() throws {
        let key = try PrivateKey.generate(.ed25519)
        let signer = JWSSigner(key: key, keyID: #"a"b\c/é"#, algorithm: .EdDSA, type: nil)
        let header = try CompactJWS(signer.sign([1])).header
        #expect(header.keyID == #"a"b\c/é"#)
        #expect(header.type == nil)
    }
}
