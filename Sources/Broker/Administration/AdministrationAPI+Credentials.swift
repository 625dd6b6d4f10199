package import JOSE
package import OpenSSL

/// The credentials of providers, for administrators. No function returns a secret.
package protocol CredentialAdministration: Sendable {
    /// All versions in the order of providers and numbers, retired ones too.
    /// - Parameter provider: nil for those of all. One of which there is none is `.notFound`.
    func credentials(
        of provider: ProviderName?, _ page: AdministrationAPI.PageRequest
    ) async throws(AdministrationFailure) -> AdministrationAPI.Page<AdministrationAPI.Credential>

    /// Keeps the secret as the next version, staged.
    func add(
        _ secret: SecretBytes, to provider: ProviderName, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> AdministrationAPI.Credential

    /// That version becomes active, and the active one drains.
    /// - Parameter number: nil for the one that is staged.
    func promote(
        _ number: Int?, of provider: ProviderName, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> AdministrationAPI.CredentialPromotion

    /// That version, which is not the active one, is retired and its secret erased.
    /// - Parameter isRehearsal: decides the same and changes nothing; what is returned is the version as it is.
    func retire(
        _ number: Int, of provider: ProviderName, isRehearsal: Bool, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> AdministrationAPI.Credential
}

extension AdministrationAPI {
    /// A version of a provider's credential as an administrator sees it.
    package struct Credential: Sendable, Hashable {
        package let version: CredentialVersion

        package init(_ version: CredentialVersion) {
            self.version = version
        }

        package var json: JSONObject {
            var json: JSONObject = [
                "provider": .string(version.provider.text), "version": .number(Double(version.number)),
                "state": .string(ExactString(version.state.rawValue)),
                "created": AdministrationAPI.json(version.created),
                "since": AdministrationAPI.json(version.since),
            ]
            if let first = version.firstUsed { _ = json.append("first_used", AdministrationAPI.json(first)) }
            if let last = version.lastUsed { _ = json.append("last_used", AdministrationAPI.json(last)) }
            _ = json.append("master_key", .string(version.masterKeyID))
            _ = json.append("caller", .object(version.caller.json))
            return json
        }
    }

    /// What a promotion did.
    package struct CredentialPromotion: Sendable, Hashable {
        package let active: Credential
        /// Nil where none was active before, or the same one.
        package let draining: Credential?
        /// False where it was active already.
        package let isNew: Bool

        package init(active: Credential, draining: Credential?, isNew: Bool) {
            self.active = active
            self.draining = draining
            self.isNew = isNew
        }

        package var json: JSONObject {
            var json: JSONObject = ["active": .object(active.json), "changed": .bool(isNew)]
            if let draining { _ = json.append("draining", .object(draining.json)) }
            return json
        }
    }
}
