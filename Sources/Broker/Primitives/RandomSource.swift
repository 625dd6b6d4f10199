package import JOSE
package import OpenSSL

/// Where identifiers get their randomness from; tests give their own.
package protocol RandomSource: Sendable {
    /// - Throws: when there is none; nothing weaker may take its place.
    func bytes(_ count: Int) throws(OpenSSLError) -> [UInt8]
}

/// OpenSSL's generator.
package struct SystemRandom: RandomSource {
    package init() {}

    package func bytes(_ count: Int) throws(OpenSSLError) -> [UInt8] {
        try SecureRandom.bytes(count)
    }
}

extension RandomSource {
    /// 128 random bits in base64url (22 characters): a `jti` or `sid`.
    package func identifier() throws(OpenSSLError) -> ExactString {
        ExactString(Base64URL.encode(try bytes(16)))
    }
}
