import Broker
package import FoundationEssentials
package import JOSE
package import OpenSSL

/// An OIDC issuer with a key of its own: it publishes a JWK Set and signs whatever a test wants signed, honest or not.
package struct TestIssuer: Sendable {
    /// `iss`
    package let issuer: String
    package let algorithm: JWSAlgorithm
    package let keyID: ExactString
    private let key: PrivateKey

    /// - Parameter keyID: the key's thumbprint if nil.
    package init(
        _ issuer: String = "https://issuer.example.com", algorithm: JWSAlgorithm = .RS256, keyID: ExactString? = nil
    ) throws {
        let key = try PrivateKey.generate(Self.keyType(for: algorithm))
        self.init(issuer, algorithm: algorithm, keyID: keyID ?? JWK.thumbprint(of: key.publicKey), key: key)
    }

    /// An issuer with a key that a test has already, such as one of the broker's own.
    package init(_ issuer: String, algorithm: JWSAlgorithm, keyID: ExactString, key: PrivateKey) {
        self.issuer = issuer
        self.algorithm = algorithm
        self.keyID = keyID
        self.key = key
    }

    /// The same key under another name, of the key or of the issuer, or used with another algorithm that fits it.
    package func presenting(
        issuer: String? = nil, algorithm: JWSAlgorithm? = nil, keyID: ExactString? = nil
    ) -> TestIssuer {
        TestIssuer(
            issuer ?? self.issuer, algorithm: algorithm ?? self.algorithm, keyID: keyID ?? self.keyID, key: key)
    }

    package var publicKey: PublicKey { key.publicKey }

    /// The key as it is published.
    package var jwk: JWK { JWK(keyID: keyID, publicKey: key.publicKey, algorithm: algorithm) }

    /// The JWK Set of this one key, as JSON.
    package var jwks: [UInt8] { Self.jwks(of: [self]) }

    /// The set that `jwks` is.
    package var keySet: JWKSet {
        get throws { try JWKSet(parsing: jwks) }
    }

    /// One JWK Set, as JSON, with the keys of several.
    package static func jwks(of issuers: [TestIssuer]) -> [UInt8] {
        JSONObject(dictionaryLiteral: ("keys", .array(issuers.map { .object($0.jwk.json) }))).encoded()
    }

    /// The OpenID Connect Discovery document of an issuer whose keys are at `jwksURI`.
    package func discoveryDocument(jwksURI: String) -> [UInt8] {
        let document: JSONObject = [
            "issuer": .string(ExactString(issuer)), "jwks_uri": .string(ExactString(jwksURI)),
            "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [.string(ExactString(algorithm.rawValue))],
        ]
        return document.encoded()
    }

    private static func keyType(for algorithm: JWSAlgorithm) -> KeyType {
        switch algorithm {
        case .RS256, .RS384, .RS512, .PS256, .PS384, .PS512: .rsa(bits: 2048)
        case .ES256: .ellipticCurve(.p256)
        case .ES384: .ellipticCurve(.p384)
        case .ES512: .ellipticCurve(.p521)
        case .EdDSA: .ed25519
        }
    }
}

// MARK: Tokens

extension TestIssuer {
    /// The claims that every token needs, and nothing else.
    /// - Parameter at: `iat`; `exp` is `lifetime` later.
    package func claims(
        subject: String = "alice", audience: String = "https://daypass.example.com", at now: Date,
        lifetime: Duration = .seconds(300)
    ) -> JSONObject {
        let issuedAt = now.timeIntervalSince1970.rounded(.down)
        return [
            "iss": .string(ExactString(issuer)), "sub": .string(ExactString(subject)),
            "aud": .string(ExactString(audience)), "iat": .number(issuedAt),
            "exp": .number(issuedAt + lifetime.seconds),
        ]
    }

    /// The header that the issuer's own tokens have.
    package var header: JSONObject {
        ["alg": .string(ExactString(algorithm.rawValue)), "kid": .string(keyID), "typ": "JWT"]
    }

    /// A token with these claims.
    /// - Parameter header: members that differ from the issuer's own header.
    package func token(_ claims: JSONObject, header: JSONObject = [:]) throws -> String {
        try token(rawHeader: self.header.merging(header).encoded(), rawPayload: claims.encoded())
    }

    /// A token whose header lacks some members.
    package func token(_ claims: JSONObject, withoutHeader names: ExactString...) throws -> String {
        let header = names.reduce(self.header) { $0.replacing($1, with: nil) }
        return try token(rawHeader: header.encoded(), rawPayload: claims.encoded())
    }

    /// A token of these very bytes, whatever they are, with a signature over them that is good.
    package func token(rawHeader: [UInt8], rawPayload: [UInt8]) throws -> String {
        let input = "\(Base64URL.encode(rawHeader)).\(Base64URL.encode(rawPayload))"
        let signature = try key.signature(over: Array(input.utf8).span, scheme: algorithm.scheme)
        return "\(input).\(Base64URL.encode(signature))"
    }

    /// A token of these very texts.
    package func token(rawHeader: String? = nil, rawPayload: String) throws -> String {
        try token(rawHeader: rawHeader.map { Array($0.utf8) } ?? header.encoded(), rawPayload: Array(rawPayload.utf8))
    }
}

/// A compact token in its three segments, to be taken apart and put together wrongly.
package struct TokenSegments: Sendable {
    package var header: String
    package var payload: String
    package var signature: String

    /// - Precondition: `token` has three segments.
    package init(_ token: String) {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        precondition(parts.count == 3, "a compact token has three segments")
        (header, payload, signature) = (parts[0], parts[1], parts[2])
    }

    package var token: String { "\(header).\(payload).\(signature)" }

    /// The bytes of the signature.
    package var signatureBytes: [UInt8] {
        get { (try? Base64URL.decode(ExactString(signature))) ?? [] }
        set { signature = Base64URL.encode(newValue) }
    }
}
