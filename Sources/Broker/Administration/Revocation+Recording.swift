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

    var isBlockedWithoutEnd: Bool { block.map { $0.until == nil } ?? false }

    /// What everybody may know who may know of it at all: never the reason, nor who asked for it.
    package var publicJSON: JSONObject {
        var json: JSONObject = [
            "sequence": .number(Double(sequence)), "kind": .string(ExactString(target.kind.rawValue)),
        ]
        if let value = target.value { _ = json.append("value", .string(value)) }
        _ = json.append("created", .number(created.timeIntervalSince1970))
        if !isBlockedWithoutEnd { _ = json.append("expires", .number(expires.timeIntervalSince1970)) }
        if let block { _ = json.append("block", .object(block.json)) }
        return json
    }
}

extension Revocation.Block {
    /// `{"until": seconds since 1970}`, or `{}` where only lifting ends it.
    fileprivate var json: JSONObject {
        guard let until else { return [:] }
        return ["until": .number(until.timeIntervalSince1970)]
    }
}

extension AuditEvent {
    /// That the block of a target was lifted: how it was before, and that there is none after it.
    init(
        lifting block: Revocation.Block, of target: Revocation.Target, _ sequences: [UInt64], reason: String?,
        by caller: Caller, at now: Date, _ trace: TraceID
    ) {
        var details = target.json
        _ = details.append("revocations", .array(sequences.map { .number(Double($0)) }))
        _ = details.append("before", .object(["block": .object(block.json)]))
        _ = details.append("after", .object(["block": .null]))
        if let reason { _ = details.append("reason", .string(ExactString(reason))) }
        _ = details.append("caller", .object(caller.json))
        let names = Names(target)
        self.init(
            time: now, trace: trace, kind: .blockLifted, issuer: names.issuer, subject: names.subject,
            rule: names.rule, details: details)
    }

    /// That something was revoked.
    init(revoking revocation: Revocation, _ trace: TraceID) {
        var details = revocation.publicJSON
        if let reason = revocation.reason { _ = details.append("reason", .string(ExactString(reason))) }
        _ = details.append("caller", .object(revocation.caller.json))
        let names = Names(revocation.target)
        self.init(
            time: revocation.created, trace: trace, kind: .revoked, issuer: names.issuer, subject: names.subject,
            rule: names.rule, sessionID: names.session, tokenID: names.token, details: details)
    }

    /// Where a target stands in a record.
    private struct Names {
        var issuer: IssuerName?
        var subject: ExactString?
        var rule: ExactString?
        var session: ExactString?
        var token: ExactString?

        init(_ target: Revocation.Target) {
            switch target {
            case .token(let value): token = value
            case .session(let value): session = value
            case .subject(let value):
                subject = value
                issuer = IssuerName(of: value)
            case .rule(let value): rule = value
            case .issuer(let name): issuer = name
            case .key, .all: break
            }
        }
    }
}
