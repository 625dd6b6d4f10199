package import FoundationEssentials
package import JOSE
package import OpenSSL

/// Makes gateway tokens, and the sessions that they belong to. Callable from any thread; does not suspend.
package struct TokenMint: Sendable {
    private let issuer: ExactString
    private let keyRing: @Sendable () -> KeyRing
    private let random: any RandomSource

    /// - Parameter keyRing: the ring at the moment of each minting.
    package init(issuer: ExactString, keyRing: @escaping @Sendable () -> KeyRing, random: any RandomSource) {
        self.issuer = issuer
        self.keyRing = keyRing
        self.random = random
    }

    /// A first token of a new session for `subject`, with exactly what `grant` allows.
    package func mint(
        _ subject: VerifiedSubject, _ grant: Grant, keeping claims: JSONObject, at now: Date
    ) throws(OpenSSLError) -> (GatewayToken, SessionRecord) {
        let sessionID = try random.identifier(at: now)
        let tokenID = try random.identifier()
        let issuedAt = Int(now.timeIntervalSince1970.rounded(.down))
        let lifetime = min(grant.timeToLive, grant.maximumSession).components.seconds
        let start = Date(timeIntervalSince1970: Double(issuedAt))
        let session = SessionRecord(
            id: sessionID, issuer: subject.issuer, subject: subject.identity, rule: grant.rule, start: start,
            end: start.addingTimeInterval(grant.maximumSession.seconds.rounded(.down)), claims: claims)
        let payload = payload(subject, grant, tokenID: tokenID, sessionID: sessionID, issuedAt, Int(lifetime))
        let text = try keyRing().active.signer.sign(payload.encoded())
        let minted = Minted(text: SecretText(text), id: tokenID, issuedAt: issuedAt, lifetime: Int(lifetime))
        return (GatewayToken(minted), session)
    }

    private func payload(
        _ subject: VerifiedSubject, _ grant: Grant, tokenID: ExactString, sessionID: ExactString, _ issuedAt: Int,
        _ lifetime: Int
    ) -> JSONObject {
        var claims: JSONObject = [
            "iss": .string(issuer),
            "sub": .string(subject.identity),
            "aud": .string(grant.audience),
            "iat": .number(Double(issuedAt)),
            "nbf": .number(Double(issuedAt)),
            "exp": .number(Double(issuedAt + lifetime)),
            "jti": .string(tokenID),
            "sid": .string(sessionID),
            "lin": .array([.string(sessionID)]),
            // The revocation sequence at authentication. Nothing can be revoked yet, so it stands at its start.
            "rev": 0,
            "client_id": .string(ExactString("rule:\(grant.rule)")),
            "scope": .string(ExactString(grant.scope.map(\.text.string).joined(separator: " "))),
            "rule": .string(grant.rule),
        ]
        if let models = grant.models {
            // RFC 9396 §2
            let detail: JSONObject = [
                "type": .string(GatewayClaims.modelsDetailType), "models": .array(models.map { .string($0.pattern) }),
            ]
            _ = claims.append("authorization_details", .array([.object(detail)]))
        }
        return claims
    }

    /// That a token was minted. Nobody else can make one.
    struct Minted {
        let text: SecretText
        let id: ExactString
        let issuedAt: Int
        let lifetime: Int

        fileprivate init(text: SecretText, id: ExactString, issuedAt: Int, lifetime: Int) {
            self.text = text
            self.id = id
            self.issuedAt = issuedAt
            self.lifetime = lifetime
        }
    }
}
