import FoundationEssentials
import JOSE

/// An audit record as an explanation: what was decided, what was checked, and what would have to be otherwise.
struct RecordedDecision {
    private let record: AuditRecord
    private let session: SessionRecord?
    private let limits: ProofLimits?
    private var event: AuditEvent { record.event }

    /// - Parameters:
    ///   - session: that of a further token, whose record has no claims; nil where it is not kept.
    ///   - limits: those that are configured now.
    init(_ record: AuditRecord, session: SessionRecord? = nil, limits: [ProofLimits]) {
        self.record = record
        self.session = session
        self.limits = limits.first { $0.issuer == record.event.issuer }
    }

    var json: JSONObject {
        var json: JSONObject = [
            "source": "audit", "sequence": .number(Double(record.sequence)), "outcome": .string(outcome),
            "time": .string(ExactString(RecordedTime(event.time).text)),
            "kind": .string(ExactString(event.kind.rawValue)), "summary": .string(ExactString(summary)),
        ]
        for (name, value) in [
            ("issuer", event.issuer?.text), ("subject", event.subject), ("rule", event.rule),
            ("session", event.sessionID), ("token", event.tokenID), ("reason", event.reason.map { ExactString($0) }),
            ("client", event.details["client"]?.string),
        ] as [(ExactString, ExactString?)] {
            if let value { _ = json.append(name, .string(value)) }
        }
        if let granted { _ = json.append("granted", .object(granted)) }
        let rules = rules
        if !rules.isEmpty {
            _ = json.append("rules", .array(rules.enumerated().map { .object($1.json(isNearest: $0 == 0)) }))
            if let omitted = explanation?["omitted_rules"] { _ = json.append("omitted_rules", omitted) }
            let changes = rules[0].changes
            if !changes.isEmpty { _ = json.append("changes", .array(changes.map { .object($0) })) }
        }
        let facts = facts
        if !facts.isEmpty { _ = json.append("facts", .array(facts.map { .object($0) })) }
        for name in ["asked", "blocked", "certificate", "actor", "claims"] as [ExactString] {
            if let value = event.details[name] { _ = json.append(name, value) }
        }
        if event.isOfFurtherToken { appendClaims(of: session, to: &json) }
        if outcome == "recorded" { _ = json.append("details", .object(event.details)) }
        return json
    }

    /// The claims that stay with the session, and whose words they are. Nothing chains them to the record: that of the first
    /// session has the same.
    private func appendClaims(of session: SessionRecord?, to json: inout JSONObject) {
        guard let session else {
            _ = json.append("claims_from", "nowhere")
            return
        }
        _ = json.append("claims_from", "session")
        _ = json.append("first_session", .string(session.lineage[0]))
        _ = json.append("claims", .object(session.claims))
    }

    private var outcome: ExactString {
        switch event.kind {
        case .exchangeGranted: "granted"
        case .sessionRenewed: "renewed"
        case .sessionNarrowed: "narrowed"
        case .exchangeRefused: "refused"
        default: "recorded"
        }
    }

    private var summary: String {
        let rule = event.rule.map { "rule \($0)" } ?? "a rule"
        switch event.kind {
        case .exchangeGranted: return "a gateway token was granted by \(rule)"
        case .sessionRenewed: return "a further gateway token of the session was granted by \(rule)"
        case .sessionNarrowed: return "a gateway token of a session below the presented one was granted by \(rule)"
        case .exchangeRefused: return refusal
        default: return "\(event.kind.rawValue)"
        }
    }

    private var refusal: String {
        guard let reason = event.reason.flatMap(RefusalReason.init(text:)) else {
            return "it was refused: \(event.reason ?? "no reason was recorded")"
        }
        if reason == .noRule {
            return event.details["blocked"] == nil
                ? noRule : "\(noRule); and a revocation keeps it out all the same (see blocked)"
        }
        let words = "it was refused: \(reason.words)"
        return event.details["message"]?.string.map { "\(words); \($0)" } ?? words
    }

    private var noRule: String {
        guard let explanation else {
            return
                "it was refused: the session's rule is gone, or does not match the claims any more that were kept of it"
        }
        let issuer = event.issuer.map { "\($0)" } ?? "its issuer"
        if event.sessionID != nil {
            let rule = "the session's rule" + (event.rule.map { " \($0)" } ?? "")
            return rules.isEmpty
                ? "it was refused: \(rule) is gone: \(issuer) has none of that name for gateways any more"
                : "it was refused: \(rule) does not match the claims any more that were kept of the session"
        }
        // So long a name is kept by its digest.
        if let named = explanation["named"], named.string == nil {
            return "it was refused: the caller named a rule of a longer name than any has"
        }
        if let named = explanation["named"]?.string {
            guard rules.isEmpty else {
                return "it was refused: the rule \(named), which the caller named, does not match"
            }
            return "it was refused: the caller named the rule \(named), and \(issuer) has none of that name"
        }
        guard rules.isEmpty else {
            return "it was refused: no rule of \(issuer) matches; the nearest is \(rules[0].rule)"
        }
        let asksForBroker = event.details["asked"]?.object?["scope"]?.array?.contains {
            $0.string.flatMap { Scope(parsing: $0.string) }?.isReserved == true
        }
        return asksForBroker == true
            ? "it was refused: no rule of \(issuer) grants one of the broker's own scopes that were asked for"
            : "it was refused: there is no rule for \(issuer)"
    }

    private var explanation: JSONObject? { event.details["explanation"]?.object }

    private var rules: [TriedRule] {
        (explanation?["rules"]?.array ?? []).compactMap { $0.object.flatMap(TriedRule.init) }
    }

    private var granted: JSONObject? {
        guard event.tokenID != nil, event.kind != .exchangeRefused else { return nil }
        var granted = JSONObject()
        for name in ["scope", "audience", "act", "x5t#S256"] as [ExactString] {
            if let value = event.details[name] { _ = granted.append(name, value) }
        }
        if let expiry = event.details["expires"]?.number { _ = granted.append("expires", Self.moment(expiry)) }
        return granted.members.isEmpty ? nil : granted
    }

    /// What was compared where no rule was, or what the rule that matched grants.
    private var facts: [JSONObject] {
        guard event.kind == .exchangeRefused, let reason = event.reason.flatMap(RefusalReason.init(text:)) else {
            return []
        }
        let claims = event.details["claims"]?.object ?? [:]
        let now = ExactString(RecordedTime(event.time).text)
        let leeway = "\(Int(JWTAuthenticator.leeway)) s of leeway"
        func time(_ name: ExactString) -> JSONValue? { claims[name]?.number.map(Self.moment) }
        switch reason {
        case .audience:
            return [Self.fact("aud", limits.map { "\($0.audience), by the configuration of now" }, claims["aud"])]
        case .expired:
            return [Self.fact("exp", "after \(now) by this broker's clock, with \(leeway)", time("exp"))]
        case .notYetValid:
            return ["iat", "nbf"].filter { claims[$0] != nil }.map { name in
                Self.fact(name, "at or before \(now) by this broker's clock, with \(leeway)", time(name))
            }
        case .lifetime:
            let limit = limits.map { "at most \(Int($0.maximumLifetime.seconds)) s apart, by the configuration of now" }
            return [Self.fact("iat", limit, time("iat")), Self.fact("exp", nil, time("exp"))]
        case .replayed:
            let limit = limits?.replay.maximumUses.map { "at most \($0) times, by the configuration of now" }
            return [Self.fact("presented", limit, "more often")]
        case .scope, .target:
            let (asked, granted) = (event.details["asked"]?.object, event.details["granted"]?.object)
            let name: ExactString = reason == .scope ? "scope" : "audiences"
            let wanted = granted?[name]?.array.map { "at most \(Self.list($0))" }
            return [Self.fact(name, wanted, asked?[name])]
        default: return []
        }
    }

    private static func list(_ values: [JSONValue]) -> String {
        values.map { $0.string?.string ?? String(decoding: $0.encoded(), as: UTF8.self) }.joined(separator: " ")
    }

    private static func moment(_ seconds: Double) -> JSONValue {
        .string(ExactString(RecordedTime(Date(timeIntervalSince1970: seconds)).text))
    }

    private static func fact(_ name: ExactString, _ wanted: String?, _ got: JSONValue?) -> JSONObject {
        var fact: JSONObject = ["name": .string(name)]
        if let wanted { _ = fact.append("wanted", .string(ExactString(wanted))) }
        if let got { _ = fact.append("got", got) }
        return fact
    }
}
