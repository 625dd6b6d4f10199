package import Broker
package import JOSE
import SPIFFE

/// The grant types of the token endpoint.
package enum GrantType: String, Sendable, CaseIterable {
    /// RFC 8693 §2.1
    case tokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
    /// RFC 7523 §2.1
    case jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    /// RFC 6749 §4.4, with the certificate of the connection (RFC 8705 §2)
    case clientCredentials = "client_credentials"
}

/// A token type (RFC 8693 §3).
package enum TokenType: String, Sendable {
    case accessToken = "urn:ietf:params:oauth:token-type:access_token"
    case idToken = "urn:ietf:params:oauth:token-type:id_token"
    case jwt = "urn:ietf:params:oauth:token-type:jwt"
}

/// A parsed request to the token endpoint.
package struct TokenRequest: Sendable {
    package let grantType: GrantType
    /// What `issued_token_type` will say; nil where the grant type has no such parameter.
    package let issuedTokenType: TokenType?
    package let exchange: ExchangeRequest

    /// - Parameter certificate: what the request came with.
    package init(
        _ form: FormBody, trace: TraceID, client: ExactString, certificate: PresentedCertificate? = nil
    ) throws(OAuthError) {
        guard let name = form["grant_type"] else { throw .missing("grant_type") }
        guard let grantType = GrantType.allCases.first(where: { ExactString($0.rawValue) == name }) else {
            throw OAuthError(.unsupportedGrantType, "the grant type is not supported")
        }
        try Self.refuseCredentials(form)
        let subject: ExchangeRequest.Subject
        var actorToken: SecretText?
        switch grantType {
        case .tokenExchange:
            subject = try Self.subject(form)
            actorToken = try Self.actorToken(form)
            issuedTokenType = try Self.issuedTokenType(form)
        case .jwtBearer:
            guard let assertion = form["assertion"] else { throw .missing("assertion") }
            subject = .proof(SecretText(assertion.string))
            issuedTokenType = nil
        case .clientCredentials:
            guard case .connection(let peer) = certificate else { throw .noCertificate }
            // RFC 8705 §2. Of a client_id that is no SPIFFE ID nothing is known here, and nothing comes of it.
            if let client = form["client_id"], client.utf8.starts(with: "spiffe:".utf8), client != peer.id.text {
                throw OAuthError(.invalidClient, "client_id is another SPIFFE ID than that of the certificate")
            }
            subject = .certificate(peer)
            issuedTokenType = nil
        }
        if case .gatewayToken = subject, form["rule"] != nil {
            throw OAuthError(.invalidRequest, "a gateway token keeps the rule of its session: none can be named")
        }
        self.grantType = grantType
        exchange = ExchangeRequest(
            trace: trace, client: client, subject: subject, actorToken: actorToken,
            scope: try Self.scope(parsing: form["scope"]),
            targets: try Self.targets(form), rule: form["rule"], certificate: certificate)
    }

    /// RFC 6749 §2.3: whoever sends a credential expects it to be checked.
    static func refuseCredentials(_ form: FormBody) throws(OAuthError) {
        for credential: ExactString in ["client_secret", "client_assertion"] where form[credential] != nil {
            throw OAuthError(.invalidClient, "clients do not authenticate here: the subject token is the proof")
        }
    }

    private static func subject(_ form: FormBody) throws(OAuthError) -> ExchangeRequest.Subject {
        guard let subjectToken = form["subject_token"] else { throw .missing("subject_token") }
        guard let typeName = form["subject_token_type"] else { throw .missing("subject_token_type") }
        switch TokenType(exactly: typeName) {
        case .jwt, .idToken: return .proof(SecretText(subjectToken.string))
        case .accessToken: return .gatewayToken(SecretText(subjectToken.string))
        case nil:
            throw OAuthError(
                .invalidRequest, "subject_token_type has to be that of a jwt, an id_token or an access_token")
        }
    }

    /// RFC 8693 §2.1: neither of the two parameters may stand without the other.
    private static func actorToken(_ form: FormBody) throws(OAuthError) -> SecretText? {
        guard let actorToken = form["actor_token"] else {
            guard form["actor_token_type"] == nil else { throw .missing("actor_token") }
            return nil
        }
        guard let typeName = form["actor_token_type"] else { throw .missing("actor_token_type") }
        switch TokenType(exactly: typeName) {
        case .jwt, .idToken: return SecretText(actorToken.string)
        case .accessToken, nil:
            throw OAuthError(.invalidRequest, "actor_token_type has to be that of a jwt or an id_token")
        }
    }

    private static func issuedTokenType(_ form: FormBody) throws(OAuthError) -> TokenType {
        guard let requested = form["requested_token_type"] else { return .accessToken }
        guard let issued = TokenType(exactly: requested), issued != .idToken else {
            throw OAuthError(.invalidRequest, "requested_token_type has to be that of an access_token or a jwt")
        }
        return issued
    }

    /// The value of a `scope` parameter; nil where there is none.
    static func scope(parsing text: ExactString?) throws(OAuthError) -> [Scope]? {
        guard let text else { return nil }
        guard let scope = Scope.list(parsing: text.string), !scope.isEmpty else {
            throw OAuthError(.invalidScope, "the scope is malformed")
        }
        return scope
    }

    private static func targets(_ form: FormBody) throws(OAuthError) -> [ExactString] {
        let resources = form.all("resource")
        // RFC 8693 §2.1: an absolute URI without a fragment.
        guard resources.allSatisfy({ $0.utf8.contains(UInt8(ascii: ":")) && !$0.utf8.contains(UInt8(ascii: "#")) })
        else { throw OAuthError(.invalidTarget, "resource has to be an absolute URI without a fragment") }
        return form.all("audience") + resources
    }
}

extension TokenType {
    fileprivate init?(exactly name: ExactString) {
        guard let type = TokenType(rawValue: name.string), ExactString(type.rawValue) == name else { return nil }
        self = type
    }
}

extension OAuthError {
    fileprivate static func missing(_ parameter: String) -> OAuthError {
        OAuthError(.invalidRequest, "the parameter \(parameter) is missing")
    }
}
