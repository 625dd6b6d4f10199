package import FoundationEssentials
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
        /// Those alone that somebody signed in to, or of them those with an e-mail address.
        package var signIn: SessionCondition.SignIn?

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
        /// Of a session that somebody signed in to.
        package let signIn: SignInRecord?
        /// What its rule grants it by now; nil where that was not asked.
        package let standing: Standing?
        /// Of its last tokens those that have not expired, the latest first.
        package let tokens: [Token]

        /// A gateway token as the audit record has it.
        package struct Token: Sendable {
            /// `jti`
            package let id: ExactString
            package let issued: Date
            package let expires: Date
        }

        /// What a session may do: its rule decides at each renewal.
        package enum Standing: Sendable {
            case granted(Grant)
            /// Its rule is gone, or does not match any more: its tokens are good until they expire, and none follows.
            case nothing
        }

        package init(
            _ record: SessionRecord, isRevoked: Bool, signIn: SignInRecord? = nil, standing: Standing? = nil,
            tokens: [Token] = []
        ) {
            self.tokens = tokens
            self.record = record
            self.isRevoked = isRevoked
            self.signIn = signIn
            self.standing = standing
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
            if let signIn { _ = json.append("sign_in", .object(signIn.json)) }
            return json
        }

        /// With what it may do, its tokens, and the claims that are kept.
        package var fullJSON: JSONObject {
            var json = json
            switch standing {
            case .granted(let grant): _ = json.append("granted", .object(grant.json))
            case .nothing: _ = json.append("granted", .null)
            case nil: break
            }
            if !tokens.isEmpty { _ = json.append("tokens", .array(tokens.map { .object($0.json) })) }
            _ = json.append("claims", .object(record.claims))
            return json
        }
    }
}

extension AdministrationAPI.Session.Token {
    /// - Returns: nil for a record that is of no token.
    init?(_ event: AuditEvent) {
        guard let id = event.tokenID, let expires = event.details["expires"]?.number else { return nil }
        self.init(id: id, issued: event.time, expires: Date(timeIntervalSince1970: expires))
    }

    fileprivate var json: JSONObject {
        [
            "jti": .string(id), "issued": AdministrationAPI.json(issued), "expires": AdministrationAPI.json(expires),
        ]
    }
}

extension SignInRecord {
    /// For administrators: nothing that anybody could sign in with.
    fileprivate var json: JSONObject {
        var json: JSONObject = [:]
        for (name, value) in [("email", email), ("device", device), ("program", program)] {
            if let value { _ = json.append(ExactString(name), .string(value)) }
        }
        _ = json.append("renewed", AdministrationAPI.json(rotated))
        _ = json.append("renewals", .number(Double(generation)))
        return json
    }
}

extension Grant {
    fileprivate var json: JSONObject {
        var json: JSONObject = [
            "scope": AdministrationAPI.json(scope.map(\.text)), "audience": .string(audience),
            "ttl_seconds": .number(timeToLive.seconds),
        ]
        if let models { _ = json.append("models", AdministrationAPI.json(models.map(\.pattern))) }
        return json
    }
}
