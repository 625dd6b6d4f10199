package import JOSE

/// How people sign in at the broker: at which issuer, and as which of its clients the broker goes there.
package struct SignInConfiguration: Sendable, Hashable {
    /// In bytes, each.
    package static let maximumScopeLength = 128
    /// What is asked for where nothing is configured. With `offline_access` most providers give a refresh token, by which
    /// the broker asks again whether somebody is still who he was.
    package static let standardScopes: [ExactString] = ["openid", "email", "profile", "offline_access"]

    /// One of `issuers`; its audience is `clientID`.
    package var issuer: IssuerName
    package var clientID: ExactString
    /// An absolute path; nil for a client without a secret.
    package var clientSecretFile: String?
    /// With `openid`.
    package var scopes: [ExactString]

    package init(
        issuer: IssuerName, clientID: ExactString, clientSecretFile: String? = nil,
        scopes: [ExactString] = standardScopes
    ) {
        self.issuer = issuer
        self.clientID = clientID
        self.clientSecretFile = clientSecretFile
        self.scopes = scopes
    }
}
