import FoundationEssentials

/// What Anthropic's clients name beside an identity token (`POST /v1/oauth/token`, in JSON).
package struct FederationCall: Sendable, Hashable {
    private let rule: String
    private let organization: String
    private let account: String?
    private let workspace: String?

    package init(rule: String, organization: String, account: String?, workspace: String?) {
        (self.rule, self.organization, self.account, self.workspace) = (rule, organization, account, workspace)
    }

    /// - Throws: `unusable` for another proof than an identity token.
    func body(_ proof: Proof) throws(TokenFailure) -> String {
        guard case .identityToken(let token) = proof else {
            throw .unusable("a provider's own call takes nothing but an identity token")
        }
        var members: [String: JSON] = [
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer".json, "assertion": token.reveal().json,
            "federation_rule_id": rule.json, "organization_id": organization.json,
        ]
        if let account { members["service_account_id"] = account.json }
        if let workspace { members["workspace_id"] = workspace.json }
        guard let bytes = try? JSON.object(members).encoded() else {
            throw .unusable("the ids of federation cannot be written as JSON")
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension String {
    fileprivate var json: JSON { .string(self) }
}
