import FoundationEssentials
import JOSE
import SPIFFE

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
        if let asked = request.asked { _ = details.append("asked", .object(asked)) }
        details.append(request.certificate)
        if let actor = session.actor { _ = details.append("act", .object(actor)) }
        if let binding = session.binding { _ = details.append("x5t#S256", .string(binding.thumbprint)) }
        for member in more.members { _ = details.append(member.name, member.value) }
        self.init(
            time: now, trace: request.trace, kind: kind, issuer: session.issuer, subject: session.subject,
            rule: grant.rule, sessionID: session.id, tokenID: token.id, details: details)
    }

    /// That a request got no token.
    init(
        refusing request: ExchangeRequest, at now: Date, issuer: IssuerName?, subject: ExactString?,
        rule: ExactString? = nil, sessionID: ExactString? = nil, reason: String,
        adding more: JSONObject = [:]
    ) {
        var details: JSONObject = ["client": .string(request.client)]
        if let asked = request.asked { _ = details.append("asked", .object(asked)) }
        details.append(request.certificate)
        for member in more.members { _ = details.append(member.name, member.value) }
        self.init(
            time: now, trace: request.trace, kind: .exchangeRefused, issuer: issuer, subject: subject, rule: rule,
            sessionID: sessionID, reason: reason, details: details)
    }
}

extension JSONObject {
    /// Which certificate the request came with, and whom a handshake proved with it, whether or not it counted: of a token
    /// that was stolen, who presents it.
    fileprivate mutating func append(_ presented: PresentedCertificate?) {
        let members: JSONObject
        switch presented {
        case nil: return
        case .connection(let peer):
            members = [
                "x5t#S256": .string(peer.fingerprint.thumbprint), "spiffe_id": .string(peer.id.text),
            ]
        case .forwarded(let fingerprint, let proxy):
            members = ["x5t#S256": .string(fingerprint.thumbprint), "forwarded_by": .string(proxy.id.text)]
        }
        _ = append("certificate", .object(members))
    }
}
