import JOSE
import OpenSSL

/// 256 random bits that grant something to whoever shows them, in base64url (43 characters): a device code, a refresh
/// token. Only its digest is ever kept.
package struct OpaqueToken: Sendable {
    /// In bytes.
    static let length = 32

    private let bytes: SecretBytes
    /// SHA-256 of the bytes: what it is found by, in which time tells nothing of the token itself.
    package let digest: [UInt8]

    init(from random: any RandomSource) throws(OpenSSLError) {
        var bytes = try random.bytes(Self.length)
        self.init(moving: &bytes)
    }

    /// - Returns: nil for what cannot be one.
    package init?(parsing text: SecretText) {
        // 43 characters at most, whatever comes.
        guard text.count == 43, var bytes = try? Base64URL.decode(ExactString(text.reveal())),
            bytes.count == Self.length
        else { return nil }
        self.init(moving: &bytes)
    }

    init(moving bytes: inout [UInt8]) {
        digest = HashAlgorithm.sha256.digest(bytes)
        self.bytes = SecretBytes(moving: &bytes)
    }

    package var text: SecretText {
        SecretText(bytes.withSpan { span in Base64URL.encode((0..<span.count).map { span[$0] }) })
    }

    /// The token that follows this one, for whoever has the key: HMAC-SHA-256 (RFC 2104) of its bytes.
    func successor(under key: SecretBytes) -> OpaqueToken {
        var code = bytes.withSpan { message in
            key.withSpan { key in HashAlgorithm.sha256.authenticationCode(of: message, under: key) }
        }
        return OpaqueToken(moving: &code)
    }
}

extension OpaqueToken: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "(secret)" }
    package var debugDescription: String { "(secret)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
