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
    /// What else browsers are sent to the provider with, such as Google's `access_type`; none of `ownParameters`.
    package var parameters: [Parameter]

    package struct Parameter: Sendable, Hashable {
        package let name: ExactString
        package let value: ExactString

        package init(name: ExactString, value: ExactString) {
            self.name = name
            self.value = value
        }
    }

    /// Those that are the broker's to set (RFC 6749 §4.1.1, RFC 7636 §4.3, OpenID Connect Core §3.1.2.1), and those that
    /// would have the answer come another way or the question read from elsewhere (§6, RFC 9101).
    package static let ownParameters: Set<ExactString> = [
        "response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge",
        "code_challenge_method", "request", "request_uri",
    ]

    package init(
        issuer: IssuerName, clientID: ExactString, clientSecretFile: String? = nil,
        scopes: [ExactString] = standardScopes, parameters: [Parameter] = []
    ) {
        self.issuer = issuer
        self.clientID = clientID
        self.clientSecretFile = clientSecretFile
        self.scopes = scopes
        self.parameters = parameters
    }
}
