package import JOSE

/// An audit record as one line of JSON (JSON Lines), in which export, search and sink agree.
///
/// `{"sequence", "time" (RFC 3339, UTC, milliseconds), "trace", "kind", "issuer", "subject", "rule", "session", "token",
/// "reason", "details", "hash" (base64url)}`, in this order; what a record does not have is left out.
package enum AuditLine {
    /// How many arrays and objects may stand in one another: those of a record's details, and the line around them.
    package static let maximumDepth = detailsDepth + 1
    /// Our records wrap claims in more levels than a token may have.
    package static let detailsDepth = 64
    package static let hashLength = 32

    /// The line, without the line break, which is in none: control characters are escaped.
    package static func encode(_ record: AuditRecord) -> [UInt8] {
        encode(record, details: record.event.details.encoded())
    }

    /// The same, where the details are encoded already.
    package static func encode(_ record: AuditRecord, details: [UInt8]) -> [UInt8] {
        let event = record.event
        var line: [UInt8] = []
        line.reserveCapacity(details.count + 512)
        line.append(contentsOf: "{\"sequence\":\(record.sequence),\"time\":\"".utf8)
        RecordedTime(event.time).append(to: &line)
        line.append(UInt8(ascii: "\""))
        func append(_ name: StaticString, _ value: String?) {
            guard let value else { return }
            line.append(contentsOf: ",\"\(name)\":".utf8)
            JSONValue.encode(value, into: &line)
        }
        append("trace", event.trace.description)
        append("kind", event.kind.rawValue)
        append("issuer", event.issuer?.text.string)
        append("subject", event.subject?.string)
        append("rule", event.rule?.string)
        append("session", event.sessionID?.string)
        append("token", event.tokenID?.string)
        append("reason", event.reason)
        line.append(contentsOf: ",\"details\":".utf8)
        line.append(contentsOf: details)
        append("hash", record.hash.map { Base64URL.encode($0) })
        line.append(UInt8(ascii: "}"))
        return line
    }

    /// The record that `line` holds. Members of other names are passed over: a later version may add some.
    package static func parse(_ line: [UInt8]) throws(AuditLineFailure) -> AuditRecord {
        let object: JSONObject
        do {
            object = try JSONReader.readObject(line, depth: maximumDepth)
        } catch {
            throw .notJSON(error)
        }
        return try record(of: object)
    }

    /// The record that a line's `object` is.
    package static func record(of object: JSONObject) throws(AuditLineFailure) -> AuditRecord {
        guard let number = object["sequence"]?.number, let sequence = Int64(exactly: number), sequence > 0 else {
            throw .member("sequence")
        }
        guard let time = object["time"]?.string.flatMap({ RecordedTime(parsing: $0.string) }) else {
            throw .member("time")
        }
        guard let trace = object["trace"]?.string.flatMap({ TraceID(parsing: $0.string) }) else {
            throw .member("trace")
        }
        guard let kind = object["kind"]?.string.flatMap({ AuditEvent.Kind(rawValue: $0.string) }) else {
            throw .member("kind")
        }
        let issuerText = try text("issuer", object)
        let issuer = issuerText.flatMap { IssuerName(recorded: $0) }
        guard (issuer == nil) == (issuerText == nil) else { throw .member("issuer") }
        guard let details = object["details"]?.object else { throw .member("details") }
        let hashText = try text("hash", object)
        let hash = hashText.flatMap { try? Base64URL.decode($0) }
        guard hashText == nil || hash?.count == hashLength else { throw .member("hash") }
        let event = AuditEvent(
            time: time.date, trace: trace, kind: kind, issuer: issuer, subject: try text("subject", object),
            rule: try text("rule", object), sessionID: try text("session", object),
            tokenID: try text("token", object), reason: try text("reason", object)?.string, details: details)
        return AuditRecord(sequence: sequence, event: event, hash: hash)
    }

    private static func text(
        _ name: ExactString, _ object: JSONObject
    ) throws(AuditLineFailure) -> ExactString? {
        guard let value = object[name] else { return nil }
        guard let text = value.string else { throw .member(name) }
        return text
    }
}

/// Why a line is not that of an audit record.
package enum AuditLineFailure: Error, Sendable, CustomStringConvertible {
    case notJSON(JSONFailure)
    /// The member of this name is missing, or not of the form that it has to have.
    case member(ExactString)

    package var description: String {
        switch self {
        case .notJSON(let failure): "not a JSON object: \(failure)"
        case .member(let name): "`\(name)` is missing or of another form"
        }
    }
}
