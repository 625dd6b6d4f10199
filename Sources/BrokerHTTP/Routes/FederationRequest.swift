package import Broker
package import JOSE

/// A parsed request to `POST /v1/oauth/token`: RFC 7523 §2.1 with its parameters as the members of a JSON object.
///
/// As in a form, an empty value is an absent one, and members that are not known are ignored (RFC 6749 §3.2).
package struct FederationRequest: Sendable {
    package let exchange: ExchangeRequest

    /// - Parameter certificate: what the request came with.
    package init(
        parsing body: [UInt8], trace: TraceID, client: ExactString, certificate: PresentedCertificate? = nil
    ) throws(OAuthError) {
        let members = try Self.members(of: body)
        guard let grantType = try members.text("grant_type") else { throw .missing("grant_type") }
        guard grantType == ExactString(GrantType.jwtBearer.rawValue) else {
            throw OAuthError(.unsupportedGrantType, "the grant type is not supported here")
        }
        for credential: ExactString in ["client_secret", "client_assertion"] where members[credential] != nil {
            throw OAuthError(.invalidClient, "clients do not authenticate here: the assertion is the proof")
        }
        guard let assertion = try members.text("assertion") else { throw .missing("assertion") }
        var ids = FederationIDs()
        for parameter in FederationIDs.Parameter.allCases {
            ids[parameter] = try members.text(ExactString(parameter.rawValue))
        }
        let scope = try TokenRequest.scope(parsing: members.text("scope"))
        exchange = ExchangeRequest(
            trace: trace, client: client, subject: .proof(SecretText(assertion.string)), scope: scope,
            rule: try members.text("federation_rule_id"), federation: ids, certificate: certificate)
    }

    private static func members(of body: [UInt8]) throws(OAuthError) -> JSONObject {
        do {
            return try JSONReader.readObject(body)
        } catch {
            // It says where and why, and holds nothing of the text.
            throw OAuthError(.invalidRequest, "the body is \(error.description)")
        }
    }
}

extension JSONObject {
    /// A member that has to be text without control characters; nil where it is absent or empty.
    fileprivate func text(_ name: ExactString) throws(OAuthError) -> ExactString? {
        guard let value = self[name] else { return nil }
        guard let text = value.string, !text.hasControlCharacters else {
            throw OAuthError(.invalidRequest, "the member \(name) has to be text")
        }
        return text.isEmpty ? nil : text
    }
}

extension OAuthError {
    fileprivate static func missing(_ member: String) -> OAuthError {
        OAuthError(.invalidRequest, "the member \(member) is missing")
    }
}
