import JOSE
import OpenSSL

/// What of a sign-in lies sealed in the store: the key that its refresh tokens follow from each other by, and the
/// provider's own refresh token.
struct SignInSecrets: Sendable {
    /// In bytes.
    private static let keyLength = 32

    let key: SecretBytes
    let providerToken: SecretBytes?

    init(from random: any RandomSource, providerToken: SecretBytes?) throws(OpenSSLError) {
        var bytes = try random.bytes(Self.keyLength)
        key = SecretBytes(moving: &bytes)
        self.providerToken = providerToken
    }

    private init(key: SecretBytes, providerToken: SecretBytes?) {
        self.key = key
        self.providerToken = providerToken
    }

    /// The same with the token that the provider gave in the place of the one before.
    func replacing(_ token: SecretBytes?) -> SignInSecrets {
        SignInSecrets(key: key, providerToken: token ?? providerToken)
    }

    /// - Parameter session: the id of the one that they belong to.
    func sealed(with masterKey: MasterKey, for session: ExactString) throws(OpenSSLError) -> [UInt8] {
        var bytes = Self.bytes(key)
        if let providerToken { bytes += Self.bytes(providerToken) }
        return try masterKey.seal(SecretBytes(moving: &bytes), for: Self.place(of: session))
    }

    /// - Returns: nil where they do not open: sealed with another master key, or altered.
    init?(opening record: SignInRecord, with masterKey: MasterKey) {
        guard record.masterKeyID == masterKey.id,
            let opened = try? masterKey.open(record.sealed, from: Self.place(of: record.session))
        else { return nil }
        var bytes = Self.bytes(opened)
        guard bytes.count >= Self.keyLength else { return nil }
        var token = Array(bytes[Self.keyLength...])
        bytes.removeLast(token.count)
        key = SecretBytes(moving: &bytes)
        providerToken = token.isEmpty ? nil : SecretBytes(moving: &token)
    }

    /// - Parameter session: the id of the one that they belong to.
    static func place(of session: ExactString) -> SealedPlace {
        SealedPlace(purpose: "sign-in", table: "sign_ins", id: session.string, version: 1)
    }

    private static func bytes(_ secret: SecretBytes) -> [UInt8] {
        secret.withSpan { span in (0..<span.count).map { span[$0] } }
    }
}
