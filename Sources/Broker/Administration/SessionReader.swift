import FoundationEssentials
package import JOSE
import SPIFFE

/// The sessions that are live, for administrators.
package protocol SessionReader: Sendable {
    /// Those that `filter` names and that have not ended, the latest first.
    func sessions(
        _ filter: AdministrationAPI.SessionFilter, _ page: AdministrationAPI.PageRequest
    ) async throws(AdministrationFailure) -> AdministrationAPI.Page<AdministrationAPI.Session>

    /// The session of that id, also one that has ended and is still recorded; nil where there is none.
    func session(_ id: ExactString) async throws(AdministrationFailure) -> AdministrationAPI.Session?
}

extension AdministrationAPI {
    /// Which sessions are asked for; those that meet all of it.
    package struct SessionFilter: Sendable, Hashable {
        package var subject: ExactString?
        package var rule: ExactString?
        package var issuer: ExactString?
        /// A kept claim's name or JSON Pointer, and its value as text.
        package var claim: Claim?

        package struct Claim: Sendable, Hashable {
            package let name: ExactString
            package let value: ExactString

            package init(name: ExactString, value: ExactString) {
                self.name = name
                self.value = value
            }
        }

        package init(
            subject: ExactString? = nil, rule: ExactString? = nil, issuer: ExactString? = nil, claim: Claim? = nil
        ) {
            self.subject = subject
            self.rule = rule
            self.issuer = issuer
            self.claim = claim
        }
    }

    package struct Session: Sendable {
        package let record: SessionRecord
        /// Whether a revocation names it, at this moment.
        package let isRevoked: Bool

        package init(_ record: SessionRecord, isRevoked: Bool) {
            self.record = record
            self.isRevoked = isRevoked
        }

        /// Without the claims.
        package var json: JSONObject {
            var json: JSONObject = [
                "sid": .string(record.id), "subject": .string(record.subject), "issuer": .string(record.issuer.text),
                "rule": .string(record.rule), "start": AdministrationAPI.json(record.start),
                "end": AdministrationAPI.json(record.end), "revoked": .bool(isRevoked),
            ]
            if record.lineage.count > 1 { _ = json.append("lineage", AdministrationAPI.json(record.lineage)) }
            if let actor = record.actor { _ = json.append("act", .object(actor)) }
            if let binding = record.binding { _ = json.append("x5t#S256", .string(binding.thumbprint)) }
            return json
        }

        /// With the claims that are kept.
        package var fullJSON: JSONObject {
            var json = json
            _ = json.append("claims", .object(record.claims))
            return json
        }
    }
}
