package import FoundationEssentials
package import JOSE
package import OpenSSL
package import SPIFFE

/// Makes gateway tokens, and the sessions that they belong to. Callable from any thread; does not suspend.
package struct TokenMint: Sendable {
    private let issuer: ExactString
    private let state: @Sendable () -> BrokerState
    private let random: any RandomSource
    private let latestExpiry: LatestExpiry

    /// - Parameters:
    ///   - state: that of the moment of each minting.
    ///   - latestExpiry: is told when each token expires.
    package init(
        issuer: ExactString, state: @escaping @Sendable () -> BrokerState, random: any RandomSource,
        latestExpiry: LatestExpiry = LatestExpiry()
    ) {
        self.issuer = issuer
        self.state = state
        self.random = random
        self.latestExpiry = latestExpiry
    }

    /// Those of now, for whoever begins an exchange.
    var revocations: RevocationSet { state().revocations }

    /// A new session for `subject`, not yet recorded anywhere.
    /// - Parameters:
    ///   - revision: the highest revocation before the subject's proof was checked.
    ///   - actor: who acts for the subject, as `act` will say it.
    ///   - binding: the certificate that its tokens will be bound to, as `cnf` will say it.
    package func session(
        for subject: VerifiedSubject, since revision: UInt64, _ grant: Grant, actor: JSONObject?,
        binding: CertificateFingerprint? = nil,
        keeping claims: JSONObject, at now: Date
    ) throws(OpenSSLError) -> SessionRecord {
        let start = wholeSeconds(now)
        return SessionRecord(
            id: try random.identifier(at: now), issuer: subject.issuer, subject: subject.identity, rule: grant.rule,
            actor: actor, binding: binding, revision: revision, start: start,
            end: start.addingTimeInterval(grant.maximumSession.seconds.rounded(.down)),
            claims: claims)
    }

    /// A new session that descends from `parent` and ends at `end` at the latest.
    package func session(
        below parent: SessionRecord, actor: JSONObject?, endingAt end: Date, at now: Date
    ) throws(OpenSSLError) -> SessionRecord {
        SessionRecord(
            id: try random.identifier(at: now), ancestors: parent.lineage, issuer: parent.issuer,
            subject: parent.subject, rule: parent.rule, actor: actor, binding: parent.binding,
            revision: parent.revision, start: wholeSeconds(now), end: min(end, parent.end), claims: parent.claims)
    }

    /// A token of `session` with exactly what `grant` allows, for as long as the grant and the session last.
    /// - Parameter keys: those that signed the token that it is made of, and what that one was made of.
    package func token(
        of session: SessionRecord, _ grant: Grant, descendingFrom keys: [ExactString] = [], at now: Date
    ) throws(MintingFailure) -> GatewayToken {
        let issuedAt = Int(wholeSeconds(now).timeIntervalSince1970)
        let end = Int(session.latestEnd(under: grant).timeIntervalSince1970.rounded(.down))
        let lifetime = min(Int(grant.timeToLive.components.seconds), end - issuedAt)
        guard lifetime > 0 else { throw .sessionOver }
        let ring = state().keyRing
        guard ring.canSign else { throw .keyRevoked }
        let ancestorKeys = keys.filter { $0 != ring.active.jwk.keyID }
        guard ancestorKeys.count <= GatewayClaims.maximumAncestorKeys else { throw .tokenTooLong }
        let (tokenID, text): (ExactString, String)
        do {
            tokenID = try random.identifier()
            let payload = payload(session, grant, ancestorKeys, tokenID: tokenID, issuedAt, lifetime)
            text = try ring.active.signer.sign(payload.encoded())
        } catch {
            throw .cryptography(error)
        }
        // Nobody would accept it, ourselves included.
        guard text.utf8.count <= CompactJWS.maximumLength else { throw .tokenTooLong }
        latestExpiry.note(issuedAt + lifetime)
        return GatewayToken(Minted(text: SecretText(text), id: tokenID, issuedAt: issuedAt, lifetime: lifetime))
    }

    private func wholeSeconds(_ moment: Date) -> Date {
        Date(timeIntervalSince1970: moment.timeIntervalSince1970.rounded(.down))
    }

    private func payload(
        _ session: SessionRecord, _ grant: Grant, _ ancestorKeys: [ExactString], tokenID: ExactString,
        _ issuedAt: Int, _ lifetime: Int
    ) -> JSONObject {
        var claims: JSONObject = [
            "iss": .string(issuer),
            "sub": .string(session.subject),
            "aud": .string(grant.audience),
            "iat": .number(Double(issuedAt)),
            "nbf": .number(Double(issuedAt)),
            "exp": .number(Double(issuedAt + lifetime)),
            "jti": .string(tokenID),
            "sid": .string(session.id),
            "lin": .array(session.lineage.map { .string($0) }),
            "rev": .number(Double(session.revision)),
            "client_id": .string(ExactString("rule:\(grant.rule)")),
            "scope": .string(Scope.text(grant.scope)),
            "rule": .string(grant.rule),
        ]
        if !ancestorKeys.isEmpty { _ = claims.append("kids", .array(ancestorKeys.map { .string($0) })) }
        if let actor = session.actor { _ = claims.append("act", .object(actor)) }
        if let binding = session.binding { _ = claims.append("cnf", GatewayClaims.confirmation(of: binding)) }
        if let models = grant.models {
            _ = claims.append("authorization_details", GatewayClaims.authorizationDetails(of: models))
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

/// Why there is no token.
package enum MintingFailure: Error, Sendable {
    case sessionOver
    /// The subject, those who act for it and the grant are too much for one token together, or it would descend from too
    /// many keys.
    case tokenTooLong
    /// The key that would sign is revoked, and there is no other for the moment.
    case keyRevoked
    case cryptography(OpenSSLError)
}
