package import OpenSSL

/// Makes compact JWS with one key and one header, whose encoding is prepared once.
package struct JWSSigner: Sendable {
    package let keyID: ExactString
    package let algorithm: JWSAlgorithm

    private let key: PrivateKey
    private let prefix: [UInt8]

    /// - Parameter type: the header's `typ`.
    /// - Precondition: the algorithm fits the key.
    package init(key: PrivateKey, keyID: ExactString, algorithm: JWSAlgorithm, type: ExactString?) {
        precondition(algorithm.scheme.fits(key.type), "the algorithm does not fit the key")
        self.key = key
        self.keyID = keyID
        self.algorithm = algorithm
        var header: JSONObject = ["alg": .string(ExactString(algorithm.rawValue)), "kid": .string(keyID)]
        if let type { _ = header.append("typ", .string(type)) }
        var prefix: [UInt8] = []
        Base64URL.encode(header.encoded(), into: &prefix)
        self.prefix = prefix + [UInt8(ascii: ".")]
    }

    /// The signed token. Does not suspend.
    package func sign(_ payload: [UInt8]) throws(OpenSSLError) -> String {
        var token = prefix
        token.reserveCapacity(prefix.count + payload.count * 4 / 3 + 128)
        Base64URL.encode(payload, into: &token)
        let signature = try key.signature(over: token.span, scheme: algorithm.scheme)
        token.append(UInt8(ascii: "."))
        Base64URL.encode(signature, into: &token)
        return String(decoding: token, as: UTF8.self)
    }
}
