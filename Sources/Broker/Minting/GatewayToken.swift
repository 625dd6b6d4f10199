package import FoundationEssentials
package import JOSE

/// A gateway token: a signed JWT access token (RFC 9068). Only the mint makes one.
package struct GatewayToken: Sendable {
    /// The header's `typ` (RFC 9068 §2.1).
    package static let type: ExactString = "at+jwt"

    package let text: SecretText
    /// `jti`
    package let id: ExactString
    package let expiry: Date
    /// How long it lives, in whole seconds.
    package let lifetime: Int

    init(_ minted: TokenMint.Minted) {
        text = minted.text
        id = minted.id
        expiry = Date(timeIntervalSince1970: Double(minted.issuedAt + minted.lifetime))
        lifetime = minted.lifetime
    }
}
