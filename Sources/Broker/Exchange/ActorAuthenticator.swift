import FoundationEssentials
import JOSE

/// Finds out who acts for a subject, by a proof of its own (RFC 8693 §2.1, `actor_token`).
struct ActorAuthenticator: Sendable {
    /// More levels of `act` than these are refused.
    static let maximumDepth = 8

    let authenticator: JWTAuthenticator
    let certificates: X509SVIDAuthenticator

    /// The `act` of the tokens that a request gets: its actor, around whoever acted before (RFC 8693 §4.1); nil where it
    /// has no actor token.
    /// - Parameters:
    ///   - claims: the subject's, as signed or as kept.
    ///   - issuer: the subject's.
    ///   - refuse: puts a refusal on record, with these details.
    func act(
        for request: ExchangeRequest, _ claims: JSONObject, of issuer: IssuerName, around previous: JSONObject?,
        at now: Date, refuse: (JSONObject) async throws(ExchangeRefusal) -> Void
    ) async throws(ExchangeRefusal) -> JSONObject? {
        guard let token = request.actorToken else { return nil }
        let failure: ActorFailure
        do {
            return try await act(token, request.certificate, for: claims, of: issuer, around: previous, at: now)
        } catch {
            failure = error
        }
        switch failure {
        case .unavailable(let outage): throw .unavailable(outage)
        case .refused(let actor, let reason):
            try await refuse(ActorFailure.details(actor, reason))
            throw .subjectToken
        }
    }

    private func act(
        _ token: SecretText, _ presented: PresentedCertificate?, for claims: JSONObject, of issuer: IssuerName,
        around previous: JSONObject?, at now: Date
    ) async throws(ActorFailure) -> JSONObject {
        let actor: VerifiedSubject
        do {
            actor = try await authenticator.authenticate(token, at: now)
        } catch {
            if case .keysUnavailable(let cause) = error.reason {
                throw .unavailable(ExchangeOutage(.keysUnavailable, cause: cause))
            }
            throw .refused(actor: error.signer?.identity, error.reason.code)
        }
        guard certificates.confirms(actor.claims, presented, at: now) else {
            throw .refused(actor: actor.identity, RefusalReason.certificate.text)
        }
        guard Self.mayAct(actor, for: claims, of: issuer) else { throw .refused(actor: actor.identity, "may_act") }
        guard Self.depth(of: previous) < Self.maximumDepth else { throw .refused(actor: actor.identity, "depth") }
        var claim: JSONObject = ["sub": .string(actor.identity)]
        if let previous { _ = claim.append("act", .object(previous)) }
        return claim
    }

    /// Whether the subject's own token lets this actor act for it (RFC 8693 §4.4): every member of its `may_act` has to
    /// be a claim of the actor's token with the same value. A token without `may_act` says nothing about actors.
    private static func mayAct(_ actor: VerifiedSubject, for claims: JSONObject, of issuer: IssuerName) -> Bool {
        guard let value = claims["may_act"] else { return true }
        guard let permitted = value.object, !permitted.members.isEmpty else { return false }
        // Of who signs SVIDs only `sub` is checked: whatever else such a token says, `iss` included, its domain made up.
        guard actor.issuer.trustDomain == nil || permitted["sub"]?.string == actor.identity else { return false }
        // A `sub` means somebody else at each issuer: without `iss` it is one of the issuer that said it, and with that
        // issuer's own `iss` too, which may be that of several (clusters).
        let iss = permitted["iss"].map(KeptClaims.shortened)
        let isElsewhere = iss != nil && iss != claims["iss"].map(KeptClaims.shortened)
        guard isElsewhere || actor.issuer.trustDomain != nil || actor.issuer == issuer else { return false }
        return permitted.members.allSatisfy { member in
            actor.claims[member.name].map(KeptClaims.shortened) == KeptClaims.shortened(member.value)
        }
    }

    private static func depth(of claim: JSONObject?) -> Int {
        var depth = 0
        var next = claim
        while let current = next {
            depth += 1
            next = current["act"]?.object
        }
        return depth
    }
}

/// Why nobody acts for the subject.
private enum ActorFailure: Error {
    /// With who it was, where the signature was good, and why, as one word of ours.
    case refused(actor: ExactString?, String)
    /// The keys of the actor's issuer are not known at the moment.
    case unavailable(ExchangeOutage)

    /// For the audit record.
    static func details(_ actor: ExactString?, _ reason: String) -> JSONObject {
        var details: JSONObject = ["reason": .string(ExactString(reason))]
        if let actor { _ = details.append("sub", .string(actor)) }
        return ["actor": .object(details)]
    }
}
