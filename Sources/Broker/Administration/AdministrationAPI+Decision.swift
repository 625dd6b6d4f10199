package import JOSE
import FoundationEssentials

extension AdministrationAPI {
    /// What is known of one request.
    package struct Decision: Sendable {
        package let trace: TraceID
        /// Oldest first.
        package let records: [AuditRecord]
        package let areAll: Bool
        /// Those that are in no record.
        package let refusals: [RecentRefusal]
        /// Of further tokens, by their ids, as far as they are kept.
        private let sessions: [ExactString: SessionRecord]
        /// Those that are configured now.
        private let limits: [ProofLimits]

        package init(
            trace: TraceID, records: [AuditRecord], areAll: Bool = true, refusals: [RecentRefusal] = [],
            sessions: [ExactString: SessionRecord] = [:], limits: [ProofLimits] = []
        ) {
            self.trace = trace
            self.records = records
            self.areAll = areAll
            self.refusals = refusals
            self.sessions = sessions
            self.limits = limits
        }

        /// `{"trace", "decisions": [{"source": "audit" | "memory", …}]}`; see <doc:Operations>.
        package var json: JSONObject {
            let decisions =
                records.map { record in
                    let session = record.event.sessionID.flatMap { sessions[$0] }
                    return RecordedDecision(record, session: session, limits: limits).json
                } + refusals.map(\.json)
            var json: JSONObject = [
                "trace": .string(ExactString(trace.description)), "decisions": .array(decisions.map { .object($0) }),
            ]
            if !areAll { _ = json.append("complete", false) }
            return json
        }
    }
}

extension RecentRefusal {
    fileprivate var json: JSONObject {
        var json: JSONObject = [
            "source": "memory", "outcome": "refused", "time": .string(ExactString(RecordedTime(time).text)),
            "at": .string(ExactString(place.rawValue)), "client": .string(client),
            "reason": .string(ExactString(reason)), "summary": .string(ExactString(words)),
        ]
        for (name, value) in [
            ("subject", subject), ("rule", rule), ("session", sessionID), ("token", tokenID),
        ] as [(ExactString, ExactString?)] {
            if let value { _ = json.append(name, .string(value)) }
        }
        if !facts.isEmpty {
            _ = json.append("facts", .array(facts.map { .object(Self.json($0)) }))
        }
        if let said { _ = json.append("said_unproved", .object(said)) }
        return json
    }

    private static func json(_ fact: Fact) -> JSONObject {
        var json: JSONObject = [
            "name": .string(ExactString(fact.name)), "wanted": .string(ExactString(fact.wanted)),
        ]
        if let got = fact.got { _ = json.append("got", .string(got)) }
        return json
    }
}
