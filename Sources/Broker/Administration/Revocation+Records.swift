import FoundationEssentials
package import JOSE

extension Revocation {
    init(_ request: RevocationRequest, sequence: UInt64, by caller: Caller, at now: Date) {
        // Every session that it can match has begun by now.
        let lastToken = now.addingTimeInterval(GrantTerms.longestSession.seconds)
        self.init(
            sequence: sequence, target: request.target, reason: request.reason, block: request.block, created: now,
            caller: caller, expires: max(lastToken, request.block?.until ?? lastToken))
    }

    /// What everybody may know who may know of it at all: never the reason, nor who asked for it.
    package var publicJSON: JSONObject {
        var json: JSONObject = [
            "sequence": .number(Double(sequence)), "kind": .string(ExactString(target.kind.rawValue)),
        ]
        if let value = target.value { _ = json.append("value", .string(value)) }
        _ = json.append("created", .number(created.timeIntervalSince1970))
        _ = json.append("expires", .number(expires.timeIntervalSince1970))
        if let block {
            var end = JSONObject()
            if let until = block.until { _ = end.append("until", .number(until.timeIntervalSince1970)) }
            _ = json.append("block", .object(end))
        }
        return json
    }
}

extension AuditEvent {
    /// That something was revoked.
    init(revoking revocation: Revocation, _ trace: TraceID) {
        var details = revocation.publicJSON
        if let reason = revocation.reason { _ = details.append("reason", .string(ExactString(reason))) }
        _ = details.append("caller", .object(revocation.caller.json))
        var (issuer, subject, rule, session, token):
            (IssuerName?, ExactString?, ExactString?, ExactString?, ExactString?)
        switch revocation.target {
        case .token(let value): token = value
        case .session(let value): session = value
        case .subject(let value):
            subject = value
            issuer = IssuerName(of: value)
        case .rule(let value): rule = value
        case .issuer(let name): issuer = name
        case .key, .all: break
        }
        self.init(
            time: revocation.created, trace: trace, kind: .revoked, issuer: issuer, subject: subject, rule: rule,
            sessionID: session, tokenID: token, details: details)
    }
}
