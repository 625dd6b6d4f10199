package import FoundationEssentials
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
    /// 128 random bits in base64url (22 characters), of which one in 64 gives one bit: a `jti`. It never begins with `-`,
    /// which every command would take for an option.
    package func identifier() throws(OpenSSLError) -> ExactString {
        var bytes = try bytes(16)
        if bytes[0] >> 2 == 62 { bytes[0] &= 0x7F }
        return ExactString(Base64URL.encode(bytes))
    }

    /// 48 bits of time and 80 random ones in base64url (22 characters): a `sid`. Sessions of one time stand together in
    /// the store's index, which with ids that are all random would write a page of its own for each.
    package func identifier(at now: Date) throws(OpenSSLError) -> ExactString {
        ExactString(Base64URL.encode(EpochMilliseconds(now).bytes + (try bytes(10))))
    }
}
