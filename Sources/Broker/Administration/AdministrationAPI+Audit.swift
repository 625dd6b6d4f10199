import FoundationEssentials
package import JOSE

extension AdministrationAPI {
    /// The parameters by which audit records are looked for.
    package static let auditParameters: [ExactString] = [
        "since", "until", "kind", "subject", "rule", "trace", "session", "token",
    ]

    /// `{"records": [line, …], "next": cursor}`, each record as in `AuditLine`.
    package static func json(_ page: Page<AuditRecord>) -> [UInt8] {
        var json = Array(#"{"records":["#.utf8)
        for (index, record) in page.elements.enumerated() {
            if index > 0 { json.append(UInt8(ascii: ",")) }
            json += AuditLine.encode(record)
        }
        json.append(UInt8(ascii: "]"))
        if let next = page.next { json += #","next":"\#(next)""#.utf8 }
        json.append(UInt8(ascii: "}"))
        return json
    }

    /// The records as lines, each ended by a line feed.
    package static func lines(_ records: [AuditRecord]) -> [UInt8] {
        records.reduce(into: []) { lines, record in
            lines += AuditLine.encode(record)
            lines.append(UInt8(ascii: "\n"))
        }
    }
}

extension AuditCondition {
    /// - Parameter parameter: the value of the parameter of that name; nil where there is none.
    package init(_ parameter: (ExactString) -> ExactString?) throws(AdministrationFailure) {
        self.init()
        since = try Self.moment("since", parameter("since"))
        until = try Self.moment("until", parameter("until"))
        if let text = parameter("kind") {
            guard let kind = AuditEvent.Kind(rawValue: text.string) else {
                let kinds = AuditEvent.Kind.allCases.map(\.rawValue).joined(separator: ", ")
                throw .invalid("kind has to be one of \(kinds)")
            }
            self.kind = kind
        }
        if let text = parameter("trace") {
            guard let trace = TraceID(parsing: text.string) else { throw .invalid(TraceID.form) }
            self.trace = trace
        }
        subject = parameter("subject")
        rule = parameter("rule")
        session = parameter("session")
        token = parameter("token")
    }

    private static func moment(_ name: String, _ text: ExactString?) throws(AdministrationFailure) -> Date? {
        guard let text else { return nil }
        if let time = RecordedTime(parsing: text.string) { return time.date }
        guard let moment = try? Date(text.string, strategy: .iso8601) else {
            throw .invalid("\(name) has to be a moment such as 2027-01-31T12:00:00Z")
        }
        return moment
    }
}
