package import FoundationEssentials
package import JOSE

/// The signing keys, for administrators. Revoking one is `RevocationAdministration`'s.
package protocol KeyAdministration: Sendable {
    /// All keys of the ring, retired and compromised ones too, oldest first.
    func keys() async throws(AdministrationFailure) -> [AdministrationAPI.Key]

    /// The staged key becomes active, the active one retiring, and a new one is staged.
    /// - Parameter force: also where the staged one has not been published for `publish_lead`.
    func rotate(
        force: Bool, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> AdministrationAPI.KeyChange

    /// That key becomes the active one.
    func activate(
        _ keyID: ExactString, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> AdministrationAPI.KeyChange

    /// That key becomes compromised: every token that it signed is dead, and where it was active another one is at once.
    func revoke(
        _ keyID: ExactString, reason: ExactString?, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> AdministrationAPI.RevocationResult
}

extension AdministrationAPI {
    package struct Key: Sendable, Hashable {
        package let keyID: ExactString
        package let algorithm: ExactString
        /// staged, active, retiring, retired or compromised.
        package let state: ExactString
        package let created: Date
        /// Since when it is in this state; nil where that is not known.
        package let since: Date?

        package init(
            keyID: ExactString, algorithm: ExactString, state: ExactString, created: Date, since: Date? = nil
        ) {
            self.keyID = keyID
            self.algorithm = algorithm
            self.state = state
            self.created = created
            self.since = since
        }

        package var json: JSONObject {
            var json: JSONObject = [
                "kid": .string(keyID), "algorithm": .string(algorithm), "state": .string(state),
                "created": AdministrationAPI.json(created),
            ]
            if let since { _ = json.append("since", AdministrationAPI.json(since)) }
            return json
        }
    }

    /// What a rotation did.
    package struct KeyChange: Sendable, Hashable {
        package let active: ExactString
        /// Nil where there is none for the moment.
        package let staged: ExactString?
        /// The one that signed before; nil where it was the same.
        package let retiring: ExactString?

        package init(active: ExactString, staged: ExactString?, retiring: ExactString?) {
            self.active = active
            self.staged = staged
            self.retiring = retiring
        }

        package var json: JSONObject {
            var json: JSONObject = ["active": .string(active)]
            if let staged { _ = json.append("staged", .string(staged)) }
            if let retiring { _ = json.append("retiring", .string(retiring)) }
            return json
        }
    }
}
