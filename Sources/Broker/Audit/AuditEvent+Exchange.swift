import FoundationEssentials
import JOSE

extension AuditEvent {
    /// That `token` of `session` was minted.
    init(
        granted kind: Kind, _ token: GatewayToken, _ session: SessionRecord, _ grant: Grant,
        for request: ExchangeRequest, at now: Date, adding more: JSONObject = [:]
    ) {
        var details: JSONObject = [
            "client": .string(request.client), "scope": .array(grant.scope.map { .string($0.text) }),
            "audience": .string(grant.audience), "expires": .number(token.expiry.timeIntervalSince1970),
        ]
        if let actor = session.actor { _ = details.append("act", .object(actor)) }
        for member in more.members { _ = details.append(member.name, member.value) }
        self.init(
            time: now, trace: request.trace, kind: kind, issuer: session.issuer, subject: session.subject,
            rule: grant.rule, sessionID: session.id, tokenID: token.id, details: details)
    }

    /// That a request got no token.
    init(
        refusing request: ExchangeRequest, at now: Date, issuer: IssuerName?, subject: ExactString?,
        rule: ExactString? = nil, sessionID: ExactString? = nil, reason: String, adding more: JSONObject
    ) {
        var details: JSONObject = ["client": .string(request.client)]
        for member in more.members { _ = details.append(member.name, member.value) }
        self.init(
            time: now, trace: request.trace, kind: .exchangeRefused, issuer: issuer, subject: subject, rule: rule,
            sessionID: sessionID, reason: reason, details: details)
    }
}
