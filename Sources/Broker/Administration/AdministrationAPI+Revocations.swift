package import FoundationEssentials
package import JOSE

extension AdministrationAPI {
    package typealias RevocationKind = Broker.Revocation.Target.Kind

    /// What is to be revoked.
    package struct RevocationOrder: Sendable, Hashable {
        package static let maximumValueLength = 2048
        /// In bytes.
        package static let maximumReasonLength = Broker.Revocation.maximumReasonLength

        package let kind: RevocationKind
        package let what: What
        package let reason: ExactString?
        package let block: Block?

        package enum What: Sendable, Hashable {
            /// A `jti`, a `sid`, a subject as in `sub`, a name, or a `kid`.
            case value(ExactString)
            /// The live sessions whose kept claims have this; of kind session alone. The claim's name or JSON Pointer, and
            /// its value as text.
            case claim(ExactString, ExactString)
            /// Of kind all.
            case everything
        }

        package typealias Block = Broker.Revocation.Block

        package init(_ kind: RevocationKind, _ what: What, reason: ExactString? = nil, block: Block? = nil) {
            self.kind = kind
            self.what = what
            self.reason = reason
            self.block = block
        }
    }

    /// A revocation that is in force.
    package struct Revocation: Sendable, Hashable {
        package let sequence: UInt64
        package let kind: RevocationKind
        /// Nil for kind all.
        package let value: ExactString?
        package let reason: ExactString?
        package let block: RevocationOrder.Block?
        package let created: Date
        package let caller: Caller
        /// When it is forgotten, if nothing keeps it.
        package let expires: Date?
        /// Whether it is recorded, and so survives a crash.
        package let isDurable: Bool

        package init(
            sequence: UInt64, kind: RevocationKind, value: ExactString?, reason: ExactString? = nil,
            block: RevocationOrder.Block? = nil, created: Date, caller: Caller, expires: Date? = nil,
            isDurable: Bool = true
        ) {
            self.sequence = sequence
            self.kind = kind
            self.value = value
            self.reason = reason
            self.block = block
            self.created = created
            self.caller = caller
            self.expires = expires
            self.isDurable = isDurable
        }

        package var json: JSONObject {
            var json: JSONObject = ["sequence": .number(Double(sequence)), "kind": .string(ExactString(kind.rawValue))]
            if let value { _ = json.append("value", .string(value)) }
            if let reason { _ = json.append("reason", .string(reason)) }
            _ = json.append("block", .bool(block != nil))
            if let until = block?.until { _ = json.append("until", AdministrationAPI.json(until)) }
            _ = json.append("created", AdministrationAPI.json(created))
            _ = json.append("caller", .object(caller.json))
            if let expires { _ = json.append("expires", AdministrationAPI.json(expires)) }
            _ = json.append("durable", .bool(isDurable))
            return json
        }
    }

    /// What became of an order: one revocation, or one for each session that a claim named.
    package struct RevocationResult: Sendable, Hashable {
        /// In the order of their numbers; empty where a claim named no session.
        package let revocations: [Revocation]
        package let findings: RevocationFindings

        package init(_ revocations: [Revocation], _ findings: RevocationFindings = RevocationFindings()) {
            self.revocations = revocations
            self.findings = findings
        }

        package var isDurable: Bool { revocations.allSatisfy(\.isDurable) }

        package var json: JSONObject {
            var json: JSONObject = [
                "applied": true, "durable": .bool(isDurable),
                "revocations": .array(revocations.map { .object($0.json) }),
            ]
            for member in findings.json.members { _ = json.append(member.name, member.value) }
            return json
        }
    }

    /// What an order would affect.
    package struct RevocationPreview: Sendable {
        /// How many live sessions would end; of more than 10,000 the first 10,001 are counted.
        package let sessionCount: Int
        /// The first of them, at most 100.
        package var sessions: [Session]
        package let findings: RevocationFindings

        package init(sessionCount: Int, sessions: [Session], _ findings: RevocationFindings = RevocationFindings()) {
            self.sessionCount = sessionCount
            self.sessions = sessions
            self.findings = findings
        }

        package var json: JSONObject {
            var json: JSONObject = [
                "dry_run": true, "session_count": .number(Double(sessionCount)),
                "sessions": .array(sessions.map { .object($0.json) }),
            ]
            for member in findings.json.members { _ = json.append(member.name, member.value) }
            return json
        }
    }
}
