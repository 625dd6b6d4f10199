import FoundationEssentials
package import JOSE
import SPIFFE

/// What a token says and whether it is good now (RFC 7662).
package struct TokenIntrospection: Sendable {
    private let verifier: TokenVerifier
    private let issuer: ExactString
    private let clock: any BrokerClock

    package init(verifier: TokenVerifier, issuer: ExactString, clock: any BrokerClock) {
        self.verifier = verifier
        self.issuer = issuer
        self.clock = clock
    }

    /// RFC 7662 §2.2: of a token that is not good nothing but that. One for the broker itself is nobody else's business.
    ///
    /// Whether its presenter has the certificate that it is bound to, the caller sees for itself: `cnf` says which.
    package func answer(about token: SecretText) -> JSONObject {
        guard let claims = try? verifier.claimsInAnyHands(of: token, at: clock.now), !claims.isForBroker else {
            return ["active": false]
        }
        var json: JSONObject = [
            "active": true, "token_type": "Bearer", "iss": .string(issuer), "sub": .string(claims.subject),
            "aud": .string(claims.audience), "scope": .string(Scope.text(claims.scope)),
            "client_id": .string(ExactString("rule:\(claims.rule)")), "rule": .string(claims.rule),
            "iat": .number(claims.issuedAt), "nbf": .number(claims.notBefore), "exp": .number(claims.expiry),
            "jti": .string(claims.tokenID), "sid": .string(claims.sessionID),
        ]
        if let actor = claims.actor { _ = json.append("act", .object(actor)) }
        if let binding = claims.binding { _ = json.append("cnf", GatewayClaims.confirmation(of: binding)) }
        if let models = claims.models {
            _ = json.append("authorization_details", GatewayClaims.authorizationDetails(of: models))
        }
        return json
    }
}
